# bluegreen: what releases of one service may do, in two managed policies, because one has 6,144 characters at most.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.81"
    }
  }
}

variable "name" {
  type        = string
  description = "The beginning of the policies' names, such as bluegreen-web-production"
}

variable "document" {
  type        = string
  description = "The policy in JSON: data.aws_iam_policy_document.bluegreen.json of `bluegreen iam-policy --terraform`"
}

locals {
  statements = jsondecode(var.document).Statement
  half       = ceil(length(local.statements) / 2)
}

resource "aws_iam_policy" "policy_1" {
  name   = "${var.name}-1"
  policy = jsonencode({ Version = "2012-10-17", Statement = [for i, one in local.statements : one if i < local.half] })
}

resource "aws_iam_policy" "policy_2" {
  name   = "${var.name}-2"
  policy = jsonencode({ Version = "2012-10-17", Statement = [for i, one in local.statements : one if i >= local.half] })
}

output "policy_arns" {
  value       = [aws_iam_policy.policy_1.arn, aws_iam_policy.policy_2.arn]
  description = "For the variable policy_arns of the roles"
}

# bluegreen: the role that the GitHub Action takes, and GitHub's OpenID Connect provider.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.81"
    }
  }
}

variable "repository" {
  type        = string
  description = "The only repository whose workflows may take the role, such as acme/web"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "Write owner and name, such as acme/web; patterns are not taken."
  }
}

variable "github_environment" {
  type        = string
  default     = "production"
  description = "The only environment of the repository whose jobs may take the role; restrict it to the branch main"

  validation {
    condition     = can(regex("^[^*?:]+$", var.github_environment))
    error_message = "Write a name without the characters * ? and colon."
  }
}

variable "policy_arns" {
  type        = list(string)
  description = "What the role may do, the output policy_arns of the module policies"
}

variable "role_name" {
  type        = string
  default     = "bluegreen"
  description = "The role's name; each repository needs a role of its own"
}

variable "oidc_provider_arn" {
  type        = string
  default     = ""
  description = "GitHub's provider if the account has it (aws iam list-open-id-connect-providers); empty makes it"
}

locals {
  makes_provider = var.oidc_provider_arn == ""
  provider_arn   = local.makes_provider ? one(aws_iam_openid_connect_provider.provider[*].arn) : var.oidc_provider_arn
}

# There is one for each account, and other roles may trust it: a plan that would destroy it fails.
resource "aws_iam_openid_connect_provider" "provider" {
  count          = local.makes_provider ? 1 : 0
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_iam_role" "role" {
  name                 = var.role_name
  description          = "bluegreen releases with it from GitHub"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local.provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = "repo:${var.repository}:environment:${var.github_environment}"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "role" {
  count      = length(var.policy_arns)
  role       = aws_iam_role.role.name
  policy_arn = var.policy_arns[count.index]
}

output "role_arn" {
  value       = aws_iam_role.role.arn
  description = "For the variable BLUEGREEN_ROLE of the environment in GitHub"
}

output "oidc_provider_arn" {
  value       = local.provider_arn
  description = "For the modules of other repositories"
}

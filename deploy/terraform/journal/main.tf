# bluegreen: the journal, one DynamoDB table for all services of this account and region.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.81"
    }
  }
}

variable "table_name" {
  type        = string
  default     = "bluegreen"
  description = "The table's name; if it is not bluegreen, set BLUEGREEN_TABLE for everybody"
}

resource "aws_dynamodb_table" "table" {
  name                        = var.table_name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = true

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  # Only answers to requests have the attribute. Events have none: `rollback --to`, /rollback and freezes read
  # releases of any age, and a release without its first event cannot be read at all.
  ttl {
    attribute_name = "ttl"
    enabled        = true
  }

  # The journal is the record of every release: a plan that would destroy it fails.
  lifecycle {
    prevent_destroy = true
  }
}

output "table_name" {
  value       = aws_dynamodb_table.table.name
  description = "For BLUEGREEN_TABLE"
}

output "table_arn" {
  value       = aws_dynamodb_table.table.arn
  description = "The table"
}

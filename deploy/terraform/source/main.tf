# bluegreen: the bucket in which packed commits wait for a builder, for image.builder.source in bluegreen.yml.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.81"
    }
  }
}

variable "bucket_name" {
  type        = string
  description = "Unique among all buckets of AWS, such as acme-web-sources"
}

resource "aws_s3_bucket" "bucket" {
  bucket = var.bucket_name
}

resource "aws_s3_bucket_public_access_block" "bucket" {
  bucket                  = aws_s3_bucket.bucket.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# A release deletes what it put there; the rule deletes what a killed one left.
resource "aws_s3_bucket_lifecycle_configuration" "bucket" {
  bucket = aws_s3_bucket.bucket.id

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {
      prefix = "bluegreen/"
    }

    expiration {
      days = 3
    }
  }
}

output "bucket_name" {
  value       = aws_s3_bucket.bucket.id
  description = "For image.builder.source.bucket"
}

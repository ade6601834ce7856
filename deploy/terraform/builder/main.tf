# bluegreen: a builder, the instance that makes a service's images; it is stopped between releases.

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
  default     = "web-builder"
  description = "The tag Name, for image.builder.tag in bluegreen.yml"
}

variable "image_id" {
  type        = string
  description = "What it begins with, best the image of your group's launch template; a change replaces the builder"
}

variable "instance_type" {
  type        = string
  default     = "t3.small"
  description = "Of the architecture of your group"
}

variable "vpc_id" {
  type        = string
  description = "The VPC of the subnet"
}

variable "subnet_id" {
  type        = string
  description = "A subnet with a way out to AWS (SSM) and to what your commands fetch"
}

variable "public_ip" {
  type        = bool
  description = "true in a public subnet, false behind a NAT gateway; nobody can connect to it in either case"
}

data "aws_partition" "current" {}

locals {
  partition = data.aws_partition.current.partition
}

resource "aws_iam_role" "role" {
  description = "AWS Systems Manager runs bluegreen's commands on the builder by it"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "role" {
  role       = aws_iam_role.role.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "profile" {
  role = aws_iam_role.role.name
}

resource "aws_security_group" "security_group" {
  description = "bluegreen builder - nothing comes in; out to AWS and to what the build fetches"
  vpc_id      = var.vpc_id

  egress {
    description = "what the build fetches"
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_instance" "builder" {
  ami                                  = var.image_id
  instance_type                        = var.instance_type
  iam_instance_profile                 = aws_iam_instance_profile.profile.name
  instance_initiated_shutdown_behavior = "stop"
  subnet_id                            = var.subnet_id
  vpc_security_group_ids               = [aws_security_group.security_group.id]
  associate_public_ip_address          = var.public_ip

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # It stops when it has started for the first time. cloud-init runs this once, so not when a release starts it.
  user_data = <<-END
    #!/bin/sh
    shutdown -h +1
  END

  tags = {
    Name = var.name
  }

  # AWS shows no public address of a stopped instance, which must not replace the builder.
  lifecycle {
    ignore_changes = [associate_public_ip_address]
  }
}

output "instance_id" {
  value       = aws_instance.builder.id
  description = "The builder; stopped within a few minutes: aws ec2 wait instance-stopped --instance-ids ID"
}

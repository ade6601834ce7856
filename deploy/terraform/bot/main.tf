# bluegreen: the Slack bot on Fargate, by Socket Mode and so without a load balancer.

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
  default     = "bluegreen-bot"
  description = "Of the cluster, the task and the log"
}

variable "policy_arns" {
  type        = list(string)
  description = "What the bot may do, the outputs policy_arns of all services' policies (10 policies at most)"
}

variable "vpc_id" {
  type        = string
  description = "Where the bot runs; it needs a way out to Slack, AWS and the addresses of your checks"
}

variable "subnet_ids" {
  type        = list(string)
  description = "Subnets of that VPC, public ones with public_ip, or private ones with a NAT gateway"
}

variable "public_ip" {
  type        = bool
  description = "true in public subnets, false behind a NAT gateway; nobody can connect to the bot in either case"
}

variable "repository" {
  type        = string
  default     = "bluegreen-bot"
  description = "The repository in this account's ECR that has the image"
}

variable "tag" {
  type        = string
  description = "The image's tag; a new one replaces the running bot"
}

variable "table_name" {
  type        = string
  default     = "bluegreen"
  description = "The journal's table"
}

variable "secrets" {
  type        = string
  default     = "/bluegreen/bot"
  description = "The SSM parameters (SecureString) SLACK_BOT_TOKEN and SLACK_APP_TOKEN are below this path"
}

variable "github_token" {
  type        = bool
  default     = false
  description = "Whether GITHUB_TOKEN is there, too, which /release needs"
}

variable "architecture" {
  type        = string
  default     = "X86_64"
  description = "That of the image, X86_64 or ARM64"
}

variable "log_days" {
  type        = number
  default     = 90
  description = "How long the log is kept"
}

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id
  account    = data.aws_caller_identity.current.account_id
  suffix     = data.aws_partition.current.dns_suffix
  parameters = "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${var.secrets}"
}

resource "aws_cloudwatch_log_group" "log" {
  name              = "/bluegreen/${var.name}"
  retention_in_days = var.log_days
}

# What the bot itself may do: orders and drivers, as the Action.
resource "aws_iam_role" "bot_role" {
  description = "bluegreen's Slack bot releases with it"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "bot_role" {
  count      = length(var.policy_arns)
  role       = aws_iam_role.bot_role.name
  policy_arn = var.policy_arns[count.index]
}

# What ECS may do to start it: fetch the image and the secrets, write the log.
resource "aws_iam_role" "execution_role" {
  description = "ECS starts bluegreen's Slack bot with it"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "execution_role" {
  name = "start"
  role = aws_iam_role.execution_role.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "EnterTheRegistry"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        Sid      = "PullTheImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${var.repository}"
      },
      {
        Sid    = "ReadTheSecrets"
        Effect = "Allow"
        Action = "ssm:GetParameters"
        Resource = concat(
          ["${local.parameters}/SLACK_BOT_TOKEN", "${local.parameters}/SLACK_APP_TOKEN"],
          var.github_token ? ["${local.parameters}/GITHUB_TOKEN"] : []
        )
      },
      {
        Sid      = "WriteTheLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.log.arn}:*"
      }
    ]
  })
}

resource "aws_security_group" "security_group" {
  description = "bluegreen bot - nothing comes in; out to Slack, AWS and the addresses of checks"
  vpc_id      = var.vpc_id

  egress {
    description = "checks may ask any port"
    protocol    = "tcp"
    from_port   = 0
    to_port     = 65535
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_ecs_cluster" "cluster" {
  name = var.name
}

resource "aws_ecs_task_definition" "task" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  task_role_arn            = aws_iam_role.bot_role.arn
  execution_role_arn       = aws_iam_role.execution_role.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  # stopTimeout: the bot interrupts its releases at a safe point, and tells the threads. No healthCheck: ECS would
  # restart the bot while Slack is away, which cures nothing and interrupts releases.
  container_definitions = jsonencode([{
    name                   = "bot"
    image                  = "${local.account}.dkr.ecr.${local.region}.${local.suffix}/${var.repository}:${var.tag}"
    essential              = true
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    stopTimeout            = 30
    environment = [
      { name = "AWS_REGION", value = local.region },
      { name = "BLUEGREEN_TABLE", value = var.table_name }
    ]
    secrets = concat(
      [
        { name = "SLACK_BOT_TOKEN", valueFrom = "${local.parameters}/SLACK_BOT_TOKEN" },
        { name = "SLACK_APP_TOKEN", valueFrom = "${local.parameters}/SLACK_APP_TOKEN" }
      ],
      var.github_token ? [{ name = "GITHUB_TOKEN", valueFrom = "${local.parameters}/GITHUB_TOKEN" }] : []
    )
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.log.name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = "bot"
      }
    }
  }])
}

# A new bot starts before the old one stops: two bots share the work, so there is no pause. A bot with wrong settings
# ends at once; then ECS returns to the one before.
resource "aws_ecs_service" "service" {
  name                               = "bot"
  cluster                            = aws_ecs_cluster.cluster.arn
  task_definition                    = aws_ecs_task_definition.task.arn
  launch_type                        = "FARGATE"
  desired_count                      = 1
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.security_group.id]
    assign_public_ip = var.public_ip
  }

  depends_on = [aws_iam_role_policy.execution_role, aws_iam_role_policy_attachment.bot_role]
}

output "bot_role_arn" {
  value       = aws_iam_role.bot_role.arn
  description = "What the bot may do"
}

output "log_group" {
  value       = aws_cloudwatch_log_group.log.name
  description = "The bot's log: aws logs tail NAME --follow"
}

"""The lab: a pretend AWS with time and physics, real servers behind a real balancer, a pretend Slack and GitHub."""

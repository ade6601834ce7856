"""The lab: a fake AWS with time and physics, real servers behind a real balancer, a fake Slack and GitHub."""

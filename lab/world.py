"""A service as a user has it before the first release: network, load balancer, image, template, builder, group."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from lab.aws import FakeAws

Params = dict[str, Any]
RUN = 'cd /srv/{service} && git fetch origin && git checkout --force "$BLUEGREEN_COMMIT" && ./install'
LOGIN = {
    "Issuer": "https://id.example.com",
    "AuthorizationEndpoint": "https://id.example.com/authorize",
    "TokenEndpoint": "https://id.example.com/token",
    "UserInfoEndpoint": "https://id.example.com/userinfo",
    "ClientId": "web",
    "ClientSecret": "never shown",
}


@dataclass
class World:
    """What was built: names and ARNs. The calls that built it are not in `pretend.calls`."""

    fake: FakeAws
    service: str
    environment: str
    size: int
    group: str
    builder: str = ""
    image: str = ""
    template: str = ""
    template_name: str = ""
    balancer: str = ""
    listener: str = ""
    listeners: list[str] = field(default_factory=list)
    """Every listener and rule that forwards by weight: `listener`, then, with `rules`, the three others."""
    previews: list[str] = field(default_factory=list)
    """Rules that show the idle target group to whoever knows how to ask."""
    target_groups: list[str] = field(default_factory=list)
    subnets: list[str] = field(default_factory=list)
    vpc: str = ""

    @classmethod
    def standard(
        cls,
        fake: FakeAws,
        instances: int = 4,
        service: str = "web",
        environment: str = "production",
        *,
        target_groups: int = 1,
        weighted: bool = False,
        rules: bool = False,
        stickiness: int = 3600,
        preview: bool = False,
        network: bool = False,
        template_version: str = "1",
        mixed: bool = False,
        launch_configuration: bool = False,
        traffic_source: bool = False,
        health: Params | None = None,
        drain: float = 30,
        group: Params | None = None,
        patience: float = 600,
    ) -> World:
        """Build it, and wait on the clock until every instance is healthy (TimeoutError after `patience` seconds).

        `target_groups`: so many, all served by the group. `weighted`: a second, empty one behind the listener's forward
        with weight 0. With it `rules`: a rule for /static/*, an HTTPS listener, and a rule of that for /admin/* behind
        a login and with target group `stickiness` (seconds). All have the same weights. `preview`: a rule that forwards
        requests with the header `x-preview: green` to the idle target group.
        `network`: a Network Load Balancer. `template_version`: "$Latest", "$Default" or a number.
        `mixed`, `launch_configuration`: how the group says what to launch. `traffic_source`: attach by that call.
        `health`: settings over those of the health check. `drain`: deregistration delay in seconds.
        `group`: members over those of CreateAutoScalingGroup; None leaves one out.
        """
        world = cls(fake, service, environment, instances, f"{service}-asg")
        builder = _Builder(world)
        builder.network()
        builder.balancer("network" if network else "application")
        builder.pools(target_groups, weighted, network, health or {}, drain)
        builder.forward(weighted, network, stickiness if rules else 0, preview)
        builder.machines()
        way = builder.way(template_version, mixed, launch_configuration)
        builder.make_group(way, traffic_source, group or {}, 1 if weighted else target_groups)
        world.wait_until_healthy(patience)
        return world

    @property
    def target_group(self) -> str:
        """The first target group."""
        return self.target_groups[0]

    @property
    def live_target_groups(self) -> list[str]:
        """The target groups that the group is registered in."""
        return [arn for arn in self.target_groups if self.fake.serving(arn)]

    def client(self, service: str) -> Any:
        """A client of someone else: not recorded, not struck by faults."""
        session: Any = self.fake.session(recorded=False)  # boto3's overloads want literal names
        return session.client(service)

    def wait_until_healthy(self, patience: float = 600) -> None:
        """Sleep on the lab's clock until all instances are healthy wherever the group is attached."""
        end = self.fake.clock.now() + patience
        while not self.healthy():
            if self.fake.clock.now() > end:
                raise TimeoutError(f"{self.group} is not healthy: {self.fake.members(self.group)}")
            self.fake.clock.sleep(min(1.0, max(0.05, self.fake.engine.timings.poll)))

    def healthy(self) -> bool:
        """Whether the group has all its instances, and all are healthy in each of its target groups."""
        self.fake.advance()
        group = self.fake.engine.state.groups[self.group]
        inside = {member.id for member in group.active() if member.lifecycle == "InService"}
        states = [self.fake.serving(arn) for arn in group.sources]
        return len(inside) == group.config["DesiredCapacity"] and all(
            inside == {one for one, state in have.items() if state == "healthy"} for have in states
        )

    def describe(self, group: str | None = None) -> Params:
        """A group as AWS shows it (the one that was built, unless told)."""
        names = [group or self.group]
        shown = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=names)
        found: Params = shown["AutoScalingGroups"][0]
        return found

    def config(self, **changes: Any) -> Params:
        """A bluegreen.yml for it; `changes` replace its top-level keys, and None removes one."""
        traffic: Params = {"target_groups": list(self.target_groups), "overlap": 60}
        if len(self.target_groups) > 1 and self._weighted():
            traffic |= {"listeners": list(self.listeners), "steps": [0, 10, 50]}
            traffic |= {"preview": list(self.previews)} if self.previews else {}
        standard: Params = {
            "service": self.service,
            "environment": self.environment,
            "region": self.fake.region,
            "group": self.group,
            "traffic": traffic,
            "image": {"builder": {"tag": f"{self.service}-builder", "run": RUN.format(service=self.service)}},
            "checks": [],
            "soak": 120,
        }
        return {key: value for key, value in {**standard, **changes}.items() if value is not None}

    def leftovers(self, group: str | None = None) -> list[str]:
        """What releases made and is neither the live group nor its image or template version; a few words each.

        Live is the group with most healthy targets, unless told.
        """
        groups = _all(self.client("autoscaling"), "describe_auto_scaling_groups", "AutoScalingGroups")
        live = group or self._live(groups)
        mine = [one for one in groups if self._made_here(one["AutoScalingGroupName"], one.get("Tags", []))]
        kept_image, kept_version = self._carried(next(one for one in groups if one["AutoScalingGroupName"] == live))
        found = [f"group {g['AutoScalingGroupName']}" for g in mine if g["AutoScalingGroupName"] != live]
        found += [f"image {one}" for one in self._released_images() if one != kept_image]
        found += [f"template version {one}" for one in self._released_versions() if one != kept_version]
        return found + self._stray_snapshots() + self._stray_instances(live)

    def _weighted(self) -> bool:
        return len(self.fake.weights(self.listener)) > 1

    def _made_here(self, name: str, tags: list[Params]) -> bool:
        return _release_of(tags) is not None or name.startswith(f"{self.service}-{self.environment}-v")

    def _live(self, groups: list[Params]) -> str:
        healthy = {one for arn in self.target_groups for one, s in self.fake.serving(arn).items() if s == "healthy"}

        def served(group: Params) -> int:
            return sum(one["InstanceId"] in healthy for one in group["Instances"])

        return str(max(groups, key=served)["AutoScalingGroupName"])

    def _carried(self, group: Params) -> tuple[str, int]:
        """The image and the template version that a group launches."""
        spec = group.get("LaunchTemplate")
        if not spec and "MixedInstancesPolicy" in group:
            spec = group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
        if not spec:
            return self.image, 0
        asked = {"LaunchTemplateId": spec["LaunchTemplateId"], "Versions": [spec.get("Version", "$Default")]}
        version = self.client("ec2").describe_launch_template_versions(**asked)["LaunchTemplateVersions"][0]
        return version["LaunchTemplateData"]["ImageId"], version["VersionNumber"]

    def _released_images(self) -> list[str]:
        images = self.client("ec2").describe_images(Owners=["self"])["Images"]
        return [one["ImageId"] for one in images if self._made_here(one["Name"], one.get("Tags", []))]

    def _released_versions(self) -> list[int]:
        if not self.template:
            return []
        versions = _all(
            self.client("ec2"),
            "describe_launch_template_versions",
            "LaunchTemplateVersions",
            LaunchTemplateId=self.template,
        )
        return [one["VersionNumber"] for one in versions if one["VersionNumber"] > 1]

    def _stray_snapshots(self) -> list[str]:
        state = self.fake.engine.state
        used = {image.snapshot for image in state.images.values()}
        return [f"snapshot {one} of no image" for one in state.snapshots if one not in used]

    def _stray_instances(self, live: str) -> list[str]:
        group = self.fake.engine.state.groups.get(live)
        inside = {self.builder, *self.fake.members(live), *(group.warm if group else ())}
        states = self.fake.instances()
        strays = [one for one, state in states.items() if one not in inside and state != "terminated"]
        found = [f"instance {one}" for one in strays if self._release_tag(one)]
        builder = states.get(self.builder)
        return found if builder in (None, "stopped") else [*found, f"builder {self.builder} is {builder}"]

    def _release_tag(self, instance: str) -> bool:
        tags = self.fake.engine.state.tags.get(instance, {})
        named = tags.get("aws:autoscaling:groupName", "").startswith(f"{self.service}-{self.environment}-v")
        return named or "bluegreen:release" in tags


class _Builder:
    """Builds a world, one kind of resource a method."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ec2, self.elb = world.client("ec2"), world.client("elbv2")
        self.groups = world.client("autoscaling")

    def network(self) -> None:
        self.world.vpc, subnets = self.world.fake.network()
        self.world.subnets = subnets[:2]

    def balancer(self, kind: str) -> None:
        name = f"{self.world.service}-lb"
        made = self.elb.create_load_balancer(Name=name, Subnets=self.world.subnets, Type=kind)
        self.world.balancer = made["LoadBalancers"][0]["LoadBalancerArn"]

    def pools(self, count: int, weighted: bool, network: bool, health: Params, drain: float) -> None:
        names = [self.world.service, *(f"{self.world.service}-{n}" for n in range(2, count + 1))]
        names += [f"{self.world.service}-green"] if weighted else []
        settings: Params = {
            "Protocol": "TCP" if network else "HTTP",
            "Port": 80,
            "VpcId": self.world.vpc,
            "HealthCheckProtocol": "HTTP",
            "HealthCheckPath": "/healthz",
            "HealthCheckIntervalSeconds": 10,
            "HealthyThresholdCount": 3,
            "UnhealthyThresholdCount": 2,
            **health,
        }
        delay = {"Key": "deregistration_delay.timeout_seconds", "Value": str(int(drain))}
        for name in names:
            arn = self.elb.create_target_group(Name=name, **settings)["TargetGroups"][0]["TargetGroupArn"]
            self.elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[delay])
            self.world.target_groups.append(arn)

    def forward(self, weighted: bool, network: bool, stickiness: int, preview: bool) -> None:
        first, *others = self.world.target_groups
        where = {"LoadBalancerArn": self.world.balancer, "Protocol": "TCP" if network else "HTTP"}
        action: Params = self._by_weight(100, 0) if weighted else {"Type": "forward", "TargetGroupArn": first}
        listener = self.elb.create_listener(**where, Port=80, DefaultActions=[action])
        self.world.listener = listener["Listeners"][0]["ListenerArn"]
        self.world.listeners = [self.world.listener] if weighted else []
        for number, arn in enumerate(others[:-1] if weighted else others):
            action = {"Type": "forward", "TargetGroupArn": arn}
            self.elb.create_listener(**where, Port=8000 + number, DefaultActions=[action])
        if stickiness:
            self.rules(stickiness)
        if preview:
            self.preview()

    def _by_weight(self, blue: int, green: int, **config: Any) -> Params:
        ends = self.world.target_groups[0], self.world.target_groups[-1]
        shares = [{"TargetGroupArn": arn, "Weight": n} for arn, n in zip(ends, (blue, green), strict=True)]
        return {"Type": "forward", "ForwardConfig": {"TargetGroups": shares, **config}}

    def rules(self, stickiness: int) -> None:
        """What else may stand on a load balancer: another listener, rules, a login, clients that stay."""
        made = self.world.client("iam").upload_server_certificate(
            ServerCertificateName=f"{self.world.service}-certificate", CertificateBody="none", PrivateKey="none"
        )
        secure = self.elb.create_listener(
            LoadBalancerArn=self.world.balancer,
            Protocol="HTTPS",
            Port=443,
            SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06",
            Certificates=[{"CertificateArn": made["ServerCertificateMetadata"]["Arn"]}],
            DefaultActions=[self._by_weight(100, 0)],
        )["Listeners"][0]["ListenerArn"]
        login = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": LOGIN}
        sticky = self._by_weight(100, 0, TargetGroupStickinessConfig={"Enabled": True, "DurationSeconds": stickiness})
        static = self._rule(self.world.listener, 20, _path("/static/*"), self._by_weight(100, 0))
        admin = self._rule(secure, 10, _path("/admin/*"), login, {**sticky, "Order": 2})
        self.world.listeners += [secure, static, admin]

    def preview(self) -> None:
        """A way in which somebody sees green before it serves."""
        config = {"HttpHeaderName": "x-preview", "Values": ["green"]}
        header = {"Field": "http-header", "HttpHeaderConfig": config}
        self.world.previews = [self._rule(self.world.listener, 1, header, self._by_weight(0, 100))]

    def _rule(self, listener: str, priority: int, condition: Params, *actions: Params) -> str:
        made = self.elb.create_rule(
            ListenerArn=listener, Priority=priority, Conditions=[condition], Actions=list(actions)
        )
        return str(made["Rules"][0]["RuleArn"])

    def machines(self) -> None:
        """The first image, and the builder made from it, stopped as it always is."""
        service = self.world.service
        self.world.image = self.ec2.register_image(Name=f"{service}-base", RootDeviceName="/dev/xvda")["ImageId"]
        name = {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": f"{service}-builder"}]}
        made = self.ec2.run_instances(
            ImageId=self.world.image,
            InstanceType="t3.small",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.world.subnets[0],
            TagSpecifications=[name],
        )
        self.world.builder = made["Instances"][0]["InstanceId"]
        self.ec2.stop_instances(InstanceIds=[self.world.builder])

    def way(self, version: str, mixed: bool, configuration: bool) -> Params:
        """How the group says what to launch."""
        service = self.world.service
        if configuration:
            given = {"ImageId": self.world.image, "InstanceType": "t3.micro"}
            self.groups.create_launch_configuration(LaunchConfigurationName=f"{service}-lc", **given)
            return {"LaunchConfigurationName": f"{service}-lc"}
        self._template()
        spec = {"LaunchTemplateId": self.world.template, "Version": version}
        if not mixed:
            return {"LaunchTemplate": spec}
        kinds: list[Params] = [{"InstanceType": "t3.micro"}, {"InstanceType": "t3a.micro"}]
        template = {"LaunchTemplateSpecification": spec, "Overrides": kinds}
        return {"MixedInstancesPolicy": {"LaunchTemplate": template}}

    def _template(self) -> None:
        self.world.template_name = f"{self.world.service}-template"
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": self.world.service}]}]
        data = {
            "ImageId": self.world.image,
            "InstanceType": "t3.micro",
            "KeyName": "operator",
            "UserData": base64.b64encode(b"#!/bin/sh\nsystemctl start web\n").decode(),
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "VolumeType": "gp3"}}],
            "MetadataOptions": {"HttpTokens": "required"},
            "TagSpecifications": tags,
        }
        made = self.ec2.create_launch_template(LaunchTemplateName=self.world.template_name, LaunchTemplateData=data)
        self.world.template = made["LaunchTemplate"]["LaunchTemplateId"]

    def make_group(self, way: Params, traffic_source: bool, changes: Params, pools: int) -> None:
        arns = self.world.target_groups[:pools]
        sources = [{"Identifier": arn, "Type": "elbv2"} for arn in arns]
        size = self.world.size
        settings: Params = {
            "AutoScalingGroupName": self.world.group,
            "MinSize": min(2, size),
            "DesiredCapacity": size,
            "MaxSize": 2 * size,
            "VPCZoneIdentifier": ",".join(self.world.subnets),
            "HealthCheckType": "ELB",
            "HealthCheckGracePeriod": 300,
            "DefaultCooldown": 120,
            "DefaultInstanceWarmup": 60,
            "MaxInstanceLifetime": 604_800,
            "InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200},
            "TerminationPolicies": ["OldestInstance"],
            "Tags": [
                {"Key": "team", "Value": "shop", "PropagateAtLaunch": True},
                {"Key": "cost", "Value": "42", "PropagateAtLaunch": False},
            ],
            **({"TrafficSources": sources} if traffic_source else {"TargetGroupARNs": arns}),
            **way,
            **changes,
        }
        self.groups.create_auto_scaling_group(**{key: value for key, value in settings.items() if value is not None})


def _path(pattern: str) -> Params:
    return {"Field": "path-pattern", "PathPatternConfig": {"Values": [pattern]}}


def _all(client: Any, operation: str, key: str, **asked: Any) -> list[Params]:
    pages = client.get_paginator(operation).paginate(**asked)
    return [row for shown in pages for row in shown[key]]


def _release_of(tags: list[Params]) -> str | None:
    return next((tag["Value"] for tag in tags if tag["Key"] == "bluegreen:release"), None)

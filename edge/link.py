"""The way to the cloud, wired: one client, or several found and balanced. Ring: rim."""

from __future__ import annotations

from collections.abc import Sequence

from edge.balance import BalancedClient, Endpoint, EndpointState
from edge.clock_skew import ClockSkew
from edge.cloud_client import CloudClient, MockCloudClient
from edge.config import CloudSection, RetryProfile
from edge.discover import Discovery
from edge.http_client import CLASSIC_RETRY, DEFAULT_RETRY, HttpCloudClient, RetrySettings
from shared.auth import MIN_KEY_CHARACTERS, Signer
from shared.breaker import BreakerSettings
from shared.clock import Clock, SystemClock
from shared.config import read_secret
from shared.error_code import ErrorCode
from shared.errors import ConfigError
from shared.supervise import Supervisor


class Link:
    """Whatever stands between this box and its clouds."""

    def __init__(
        self,
        cloud: CloudSection,
        *,
        pool_size: int,
        breaker: BreakerSettings,
        skew: ClockSkew,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        """Build the client; nothing is sent before `start`.

        Raises:
            ConfigError: a key that is too short or cannot be read.
        """
        self._balanced: BalancedClient | None = None
        self._discovery: Discovery | None = None
        self.client: CloudClient
        if not cloud.endpoints:
            self.client = build_client(cloud, pool_size=pool_size, skew=skew)
            return
        signer = build_signer(cloud)
        retry = _retry(cloud, tries=1)  # the next try goes to the next cloud

        def build(url: str) -> CloudClient:
            return HttpCloudClient(url, retry, pool_size=pool_size, signer=signer, skew=skew)

        self.client = self._balanced = BalancedClient(
            _static(cloud.endpoints), build=build, breaker=breaker, clock=clock
        )
        if len(self._balanced.states()) == len(cloud.endpoints):
            return
        self._discovery = Discovery(
            cloud.endpoints,
            every_s=cloud.look_up_every_s,
            token=read_secret(cloud.consul_token_file) if cloud.consul_token_file else None,
            use=self._balanced.update,
            supervisor=supervisor,
            clock=clock,
        )

    def start(self) -> None:
        """Begin to look for clouds, where they are not written down."""
        if self._discovery:
            self._discovery.start()

    def stop(self) -> None:
        """Stop looking; the client is closed by whoever sends with it."""
        if self._discovery:
            self._discovery.stop()

    def states(self) -> tuple[EndpointState, ...]:
        """Tell how each of several clouds is; empty where there is but one."""
        return self._balanced.states() if self._balanced else ()


def build_client(
    cloud: CloudSection, *, pool_size: int, skew: ClockSkew | None = None
) -> CloudClient:
    """Build the client for one cloud's address: HTTP, or a pretended one for `mock:`."""
    if cloud.url.startswith("mock:"):
        return MockCloudClient.from_url(cloud.url)
    return HttpCloudClient(
        cloud.url, _retry(cloud), pool_size=pool_size, signer=build_signer(cloud), skew=skew
    )


def _static(addresses: Sequence[str]) -> list[Endpoint]:
    return [Endpoint(url=a) for a in addresses if a.startswith(("http://", "https://"))]


def _retry(cloud: CloudSection, tries: int | None = None) -> RetrySettings:
    base = CLASSIC_RETRY if cloud.profile is RetryProfile.CLASSIC else DEFAULT_RETRY
    return RetrySettings(
        tries=tries or cloud.tries or base.tries,
        timeout_s=cloud.timeout_s or base.timeout_s,
        first_pause_s=cloud.backoff_s or base.first_pause_s,
        longest_pause_s=max(cloud.backoff_s or 0.0, base.longest_pause_s),
    )


def build_signer(cloud: CloudSection) -> Signer | None:
    """Prepare to sign requests, when the box has a name and a key."""
    if cloud.edge_id is None:
        return None
    key = cloud.key.get_secret_value() if cloud.key else ""
    if cloud.key_file:
        key = read_secret(cloud.key_file)
    if len(key) < MIN_KEY_CHARACTERS:
        detail = f"cloud.key: has {len(key)} characters, `emberlink-cloud keys new` makes one of 43"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail)
    return Signer(cloud.edge_id, key.encode(), SystemClock())

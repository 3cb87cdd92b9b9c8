"""The way to the cloud, wired: one client or several found and balanced, and the forwarder. Ring: rim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.config.cloud import CloudSection, RetryProfile
from edge.config.settings import EdgeSettings
from edge.decide.latency import Latency, LatencyBin
from edge.decide.uplink import Uplink, UploadForm
from edge.forward.balance import BalancedClient, Endpoint
from edge.forward.clock_skew import ClockSkew
from edge.forward.cloud_client import CloudClient, MockCloudClient
from edge.forward.discover import Discovery
from edge.forward.forwarder import Books, Forwarder
from edge.forward.http_client import CLASSIC_RETRY, DEFAULT_RETRY, HttpCloudClient, RetrySettings
from edge.wiring.supervision import BoxCheck, well
from shared.access.auth import MIN_KEY_CHARACTERS, Signer
from shared.breaker import Breaker, BreakerState
from shared.clock import Clock, SystemClock
from shared.config import read_secret
from shared.error_code import ErrorCode
from shared.errors import ConfigError
from shared.watch.supervise import Supervisor


class Link:
    """Whatever stands between this box and its clouds; without a cloud there is no client and no forwarder."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        books: Books,
        latency: Latency,
        supervisor: Supervisor,
        clock: Clock,
    ) -> None:
        """Build it; nothing is sent before `start`.

        Args:
            settings: of the service.
            books: what calls are paid from.
            latency: notes how long they take.
            supervisor: watches who looks for clouds.
            clock: of the service.

        Raises:
            ConfigError: a key that is too short or cannot be read.
        """
        self.latency = latency
        self._url = settings.cloud.url
        self.skew = ClockSkew(clock)
        self.uplink = _uplink(settings.cloud, clock)
        self._balanced: BalancedClient | None = None
        self._discovery: Discovery | None = None
        self.client = self._build_client(settings, supervisor, clock)
        self.forwarder: Forwarder | None = None
        if self.client:
            self.forwarder = Forwarder(
                self.client,
                breaker=Breaker(settings.breaker.breaker_settings(), clock),
                books=books,
                latency=latency,
                max_in_flight=settings.policy.max_in_flight,
                uplink=self.uplink,
            )

    def start(self) -> None:
        """Begin to look for clouds, where they are not written down."""
        if self._discovery:
            self._discovery.start()

    def stop(self, timeout_s: float) -> None:
        """Stop looking, and wait for the calls under way."""
        if self._discovery:
            self._discovery.stop()
        if self.forwarder:
            self.forwarder.stop(timeout_s)

    def breaker_state(self) -> BreakerState | None:
        """Tell whether the cloud is asked at all; None without a cloud."""
        return self.forwarder.breaker.state if self.forwarder else None

    def overdue_s(self) -> float:
        """Tell for how long the most overdue call has outlived its deadline."""
        return self.forwarder.overdue_s() if self.forwarder else 0.0

    def histories(self) -> Mapping[str, tuple[LatencyBin, ...]]:
        """Tell how quick each cloud was in the last hour, by its address."""
        if self._balanced:
            return self._balanced.histories()
        return {self._url: self.latency.history()} if self.client else {}

    def check(self) -> BoxCheck:
        """Say in a few words how the breaker is, and each of several clouds."""
        state = self.breaker_state()
        if state is None:
            return well("no_link")
        clouds = self._balanced.states() if self._balanced else ()
        several = "".join(f"; {cloud.url} {cloud.breaker.value}" for cloud in clouds)
        return well("link", breaker=state.value, several=several)

    def _build_client(
        self, settings: EdgeSettings, supervisor: Supervisor, clock: Clock
    ) -> CloudClient | None:
        cloud, pool_size = settings.cloud, settings.policy.max_in_flight
        if not cloud.is_configured:
            return None
        if not cloud.endpoints:
            return build_client(cloud, pool_size=pool_size, skew=self.skew)
        signer = build_signer(cloud)
        retry = _retry(cloud, tries=1)  # the next try goes to the next cloud

        def build(url: str) -> CloudClient:
            return HttpCloudClient(url, retry, pool_size=pool_size, signer=signer, skew=self.skew)

        balanced = self._balanced = BalancedClient(
            _static(cloud.endpoints),
            build=build,
            breaker=settings.breaker.breaker_settings(),
            clock=clock,
        )
        if len(balanced.states()) < len(cloud.endpoints):
            self._discovery = Discovery(
                cloud.endpoints,
                every_s=cloud.look_up_every_s,
                token=read_secret(cloud.consul_token_file) if cloud.consul_token_file else None,
                use=balanced.update,
                supervisor=supervisor,
                clock=clock,
            )
        return balanced


def build_client(
    cloud: CloudSection, *, pool_size: int, skew: ClockSkew | None = None
) -> CloudClient:
    """Build the client for one cloud's address: HTTP, or a pretended one for `mock:`."""
    if cloud.url.startswith("mock:"):
        return MockCloudClient.from_url(cloud.url)
    return HttpCloudClient(
        cloud.url, _retry(cloud), pool_size=pool_size, signer=build_signer(cloud), skew=skew
    )


def _uplink(cloud: CloudSection, clock: Clock) -> Uplink:
    """Build the token bucket of the link, which live frames and the outbox share."""
    return Uplink(
        best=UploadForm(long_side_px=cloud.upload_long_side_px, quality=cloud.upload_quality),
        bytes_per_s=cloud.uplink_bytes_per_s,
        burst_bytes=cloud.uplink_burst_bytes,
        clock=clock,
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

"""Organizations, access tokens and scopes: who may do what."""

from cost_insights.identity.authenticator import Authenticator, Caller, any_token
from cost_insights.identity.bootstrap import SecretError, bootstrap_token, read_secret
from cost_insights.identity.certificates import (
    Certificate,
    CertificateError,
    certificate_sha256,
    certificate_sha256_of_pem,
    read_certificate,
)
from cost_insights.identity.credentials import Credentials
from cost_insights.identity.organizations import (
    Organization,
    OrganizationLimits,
    check_organization_name,
    create_organization,
    ensure_organization,
    find_limits,
    find_organization,
    list_organizations,
    set_limits,
)
from cost_insights.identity.rates import RATE_MAX, UNLIMITED, Buckets, RateLimits, Rates
from cost_insights.identity.scopes import SCOPES
from cost_insights.identity.sessions import SESSION_SECONDS_MAX, Session, Sessions
from cost_insights.identity.shared_times import SharedTimes
from cost_insights.identity.tokens import (
    AccessToken,
    create_token,
    find_token,
    limit_token,
    list_tokens,
    register_certificate,
    revoke_token,
    rotate_token,
)

__all__ = [
    "RATE_MAX",
    "SCOPES",
    "SESSION_SECONDS_MAX",
    "UNLIMITED",
    "AccessToken",
    "Authenticator",
    "Buckets",
    "Caller",
    "Certificate",
    "CertificateError",
    "Credentials",
    "Organization",
    "OrganizationLimits",
    "RateLimits",
    "Rates",
    "SecretError",
    "Session",
    "Sessions",
    "SharedTimes",
    "any_token",
    "bootstrap_token",
    "certificate_sha256",
    "certificate_sha256_of_pem",
    "check_organization_name",
    "create_organization",
    "create_token",
    "ensure_organization",
    "find_limits",
    "find_organization",
    "find_token",
    "limit_token",
    "list_organizations",
    "list_tokens",
    "read_certificate",
    "read_secret",
    "register_certificate",
    "revoke_token",
    "rotate_token",
    "set_limits",
]

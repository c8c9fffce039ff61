"""Jupyter's configuration for life behind the gateway: who somebody is, the gateway says.

    jupyter server --config=jupyter_identity.py …

A request without the gateway's header is nobody's. There is no other way in: no token, no
password, no login page and no cookie that remembers somebody.
"""

from jupyter_server.auth.identity import IdentityProvider, User

HEADER = "X-Forwarded-User"


class GatewayIdentity(IdentityProvider):
    """The user that the gateway named, afresh on every request and every WebSocket."""

    def get_user(self, handler):
        name = handler.request.headers.get(HEADER)
        return User(username=name) if name else None

    @property
    def auth_enabled(self):
        # The base class counts "no token and no password" as "everybody is welcome".
        return True

    @property
    def login_available(self):
        return False


# Jupyter defines this name where it runs the file.
c = get_config()  # noqa: F821

c.ServerApp.identity_provider_class = GatewayIdentity
c.IdentityProvider.token = ""
# The gateway keeps the browser's Host, which is not "localhost". Origin checks stay as they are:
# a WebSocket must come from a page of that same host.
c.ServerApp.allow_remote_access = True
c.ServerApp.allow_root = True
c.ServerApp.open_browser = False
# Let a port that is taken be an error, not another port.
c.ServerApp.port_retries = 0

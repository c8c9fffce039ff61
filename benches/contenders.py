"""Who takes part: Lychgate, a bare pingora proxy, and what people use today.

All have one worker, or as many threads as one core can use, and keep their connections to the
upstream. The shipped or documented settings are left alone where they do not stand in the way of that.
"""

import dataclasses
import secrets
import subprocess

from rig import ANSWERS, CLIENT, HERE, Failed, Rig, free_address, listens

OAUTH2_PROXY = HERE.parent / "target" / "rigs" / "oauth2-proxy"
APACHE_MODULES = "/usr/lib/apache2/modules"
# Outside of this the figures would not be those of a usual session.
COOKIE_BYTES = range(1300, 2200)

# The baselines.
BARE = "bare pingora"
BARE_WITH_COOKIE = "bare pingora, same cookie"
# The row that is judged, and whom it is held against.
SIGNED_IN = "lychgate, signed in"
AUTH_REQUEST = "nginx, auth_request"
MOD_AUTH_OPENIDC = "mod_auth_openidc"
OAUTH2 = "oauth2-proxy"


@dataclasses.dataclass(frozen=True)
class Contender:
    """One row of the table: where the load goes, and with which cookie."""

    title: str
    process: subprocess.Popen
    # Where the upstream's answers are, with a slash at the end.
    base: str
    cookie: str | None
    # Whose requests per second this one's are divided by.
    baseline: str
    # Whether it is somebody else's, without which the rest of a run is still worth something.
    may_fail: bool = False

    def url(self, answer_bytes):
        return self.base + ANSWERS[answer_bytes]


class Contenders(Rig):
    """A rig that knows how everybody is set up."""

    def all(self, peers):
        """Starts everybody, signs in, and says what the rows are; with `peers` those of other people too."""
        names = ("nginx", "bare", "gateway", "logging", *(PEERS if peers else ()))
        at = {name: free_address() for name in names}
        origin = {name: f"{self.scheme}://{address}" for name, address in at.items()}
        issuer = self.start_provider([f"{origin[it]}{path}" for it, path in CALLBACKS.items() if it in at])

        nginx = self.start_nginx(at["nginx"])
        bare = self.start_bare(at["bare"])
        gateway = self.start_lychgate("gateway", at["gateway"], issuer, "none")
        access_log = self.directory / "access.log"
        logging = self.start_lychgate("logging", at["logging"], issuer, access_log)
        cookie = self.lychgate_cookie(origin["gateway"])
        log_cookie = self.lychgate_cookie(origin["logging"])

        def row(title, process, name, cookie, path="/"):
            # Like with like: the cookie's bytes cost every proxy something.
            baseline = BARE_WITH_COOKIE if cookie else BARE
            return Contender(title, process, origin[name] + path, cookie, baseline)

        rows = [
            row("nginx", nginx, "nginx", None),
            row("nginx, same cookie", nginx, "nginx", cookie),
            row(BARE, bare, "bare", None),
            row(BARE_WITH_COOKIE, bare, "bare", cookie),
            row("lychgate, public", gateway, "gateway", None, "/public/"),
            row("lychgate, public, same cookie", gateway, "gateway", cookie, "/public/"),
            row(SIGNED_IN, gateway, "gateway", cookie),
            row(f"{SIGNED_IN}, log", logging, "logging", log_cookie),
        ]
        if peers:
            asking = self.start_asking_nginx(at["asking"])
            haproxy = self.start_haproxy(at["haproxy"])
            apache = self.start_apache(at["apache"], issuer)
            apache_cookie = self.sign_in(origin["apache"], "mod_auth_openidc_session")
            oauth2 = self.start_oauth2_proxy(at["oauth2"], issuer)
            oauth2_cookie = self.sign_in(origin["oauth2"], "_oauth2_proxy")
            rows += [
                dataclasses.replace(peer, may_fail=True)
                for peer in (
                    row(AUTH_REQUEST, asking, "asking", cookie),
                    row("haproxy", haproxy, "haproxy", None),
                    row("haproxy, same cookie", haproxy, "haproxy", cookie),
                    row(MOD_AUTH_OPENIDC, apache, "apache", apache_cookie),
                    row(OAUTH2, oauth2, "oauth2", oauth2_cookie),
                )
            ]
        return rows

    def lychgate_cookie(self, origin):
        prefix = "__Host-" if self.scheme == "https" else ""
        header = self.sign_in(origin, f"{prefix}lychgate")
        if len(header) not in COOKIE_BYTES:
            raise Failed(f"the session cookie has {len(header)} bytes, which is not a usual size")
        return header

    def start_bare(self, address):
        command = [self.binaries / "lychgate-passthrough", address, self.upstream]
        if self.authority:
            command += [self.authority.chain, self.authority.key]
        return self.start_ours("bare", command, ready=lambda: listens(address))

    def start_lychgate(
        self, name, address, issuer, access_log, trusted="", audit_log="stdout"
    ):
        """The gateway; `trusted` is the network of proxies that it believes."""
        key = self.keep_secret(f"{name}.key", secrets.token_hex(32))
        client_secret = self.keep_secret(f"{name}.secret", CLIENT["client_secret"])
        configuration = self.directory / f"{name}.toml"
        tls = ""
        if self.authority:
            tls = f"""
            tls.certificate = "{self.authority.chain}"
            tls.key = "{self.authority.key}"
            """
        proxies = f'trusted_proxies = ["{trusted}"]' if trusted else ""
        # A session is renewed after a twelfth of the idle time. Nobody here takes the new cookie,
        # and every later answer would bring another one; a browser takes the first.
        configuration.write_text(f"""
            [listeners.only]
            address = "{address}"
            {tls}
            {proxies}
            [admin]
            address = "{free_address()}"

            [telemetry]
            access_log = {{ output = "{access_log}" }}
            audit_log  = {{ output = "{audit_log}" }}

            [sessions]
            keys         = [{{ file = "{key}" }}]
            lifetime     = "12h"
            idle_timeout = "12h"

            [providers.rig]
            issuer        = "{issuer}"
            client_id     = "{CLIENT['client_id']}"
            client_secret = {{ file = "{client_secret}" }}

            [routes.public]
            url      = "{self.scheme}://{address}/public/"
            upstream = "http://{self.upstream}"
            public   = true

            [routes.signed_in]
            url      = "{self.scheme}://{address}"
            upstream = "http://{self.upstream}"
            identity = "headers"
            allow    = ["authenticated"]
        """)
        command = [self.binaries / "lychgate", "run", "--config", configuration]
        return self.start_ours(name, command, ready=lambda: listens(address))

    def nginx_server(self, address, upstream, extra=""):
        """A virtual server of nginx that passes everything on."""
        tls = ""
        if self.authority:
            tls = f"ssl_certificate {self.authority.chain}; ssl_certificate_key {self.authority.key};"
        return f"""
            upstream application {{
                server {upstream};
                keepalive 1024;
                keepalive_requests 1000000000;
                keepalive_timeout 1h;
            }}
            server {{
                listen {address} {'ssl' if self.authority else ''};
                {tls}
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                location / {{
                    {extra}
                    proxy_pass http://application;
                }}
                location = /.allowed {{
                    internal;
                    proxy_pass http://application/allowed;
                    proxy_pass_request_body off;
                    proxy_set_header Connection "";
                    proxy_set_header Content-Length "";
                }}
            }}
        """

    def start_nginx(self, address):
        """nginx as a proxy that does nothing else."""
        servers = self.nginx_server(address, self.upstream)
        return self.start_nginx_with("nginx", self.contender_core, address, servers)

    def start_asking_nginx(self, address):
        """nginx that asks about each request. The answer is constant and costs nothing of its core."""
        servers = self.nginx_server(address, self.upstream, "auth_request /.allowed;")
        return self.start_nginx_with("asking", self.contender_core, address, servers)

    def start_haproxy(self, address):
        configuration = self.directory / "haproxy.cfg"
        tls = f"ssl crt {self.authority.both}" if self.authority else ""
        configuration.write_text(f"""
global
    nbthread 1
    maxconn 8192
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    http-reuse always
frontend load
    bind {address} {tls}
    default_backend application
backend application
    server upstream {self.upstream}
""")
        command = ["haproxy", "-db", "-f", configuration]
        return self.start("haproxy", self.contender_core, command, ready=lambda: listens(address))

    def start_apache(self, address, issuer):
        """Apache with mod_auth_openidc and the session in the browser's cookie."""
        modules = (
            *("mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc"),
            *("proxy", "proxy_http", *(["ssl"] if self.authority else [])),
        )
        load = "\n".join(f"LoadModule {it}_module {APACHE_MODULES}/mod_{it}.so" for it in modules)
        tls = ""
        if self.authority:
            tls = f"""
SSLEngine on
SSLCertificateFile {self.authority.chain}
SSLCertificateKeyFile {self.authority.key}
"""
        configuration = self.directory / "apache.conf"
        # Its process for requests has a thread for as many as there may be at a time, because it
        # takes no more connections than that while all of them have something to do.
        configuration.write_text(f"""
{load}
ServerRoot {self.directory}
ServerName 127.0.0.1
PidFile {self.directory}/apache.pid
DefaultRuntimeDir {self.directory}
Mutex file:{self.directory}
ErrorLog {self.log("apache")}
User nobody
Group nogroup
ServerLimit 1
StartServers 1
ThreadLimit 1024
ThreadsPerChild 1024
MaxRequestWorkers 1024
MinSpareThreads 1
MaxSpareThreads 1024
ListenBacklog 4096
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 600
Listen {address}
{tls}
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {CLIENT["client_id"]}
OIDCClientSecret {CLIENT["client_secret"]}
OIDCProviderTokenEndpointAuth client_secret_basic
OIDCPKCEMethod S256
OIDCScope "openid profile email groups"
OIDCRedirectURI {self.scheme}://{address}{CALLBACKS["apache"]}
OIDCCryptoPassphrase {secrets.token_hex(32)}
OIDCSessionType client-cookie
# Nobody here takes the cookie that a use of the session would bring.
OIDCSessionInactivityTimeout 43200
OIDCSessionMaxDuration 43200
ProxyPass / http://{self.upstream}/
<Location />
    AuthType openid-connect
    Require valid-user
</Location>
""")
        command = ["apache2", "-DFOREGROUND", "-f", configuration]
        return self.start("apache", self.contender_core, command, ready=lambda: listens(address))

    def start_oauth2_proxy(self, address, issuer):
        listen = [f"--http-address={address}", "--cookie-secure=false"]
        if self.authority:
            listen = [
                f"--https-address={address}",
                "--http-address=",
                f"--tls-cert-file={self.authority.chain}",
                f"--tls-key-file={self.authority.key}",
            ]
        command = [
            OAUTH2_PROXY,
            *listen,
            "--provider=oidc",
            f"--oidc-issuer-url={issuer}",
            f"--client-id={CLIENT['client_id']}",
            f"--client-secret={CLIENT['client_secret']}",
            f"--redirect-url={self.scheme}://{address}{CALLBACKS['oauth2']}",
            f"--cookie-secret={secrets.token_hex(16)}",
            "--code-challenge-method=S256",
            "--scope=openid profile email groups",
            "--email-domain=*",
            "--skip-provider-button",
            f"--upstream=http://{self.upstream}/",
            # As with everybody else here.
            "--request-logging=false",
            "--auth-logging=false",
        ]
        return self.start("oauth2", self.contender_core, command, ready=lambda: listens(address))


# Those that are other people's and stand aside unless they are asked for.
PEERS = ("asking", "haproxy", "apache", "oauth2")
# Where the provider sends browsers back to.
CALLBACKS = {
    "gateway": "/.lychgate/callback",
    "logging": "/.lychgate/callback",
    "apache": "/openid-callback",
    "oauth2": "/oauth2/callback",
}

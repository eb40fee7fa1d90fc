"""Names of request fields, parameters and cookies that backends are known to read.

What cache-poisoning tools try: overrides of host, scheme, port, path and method, client
addresses, identities, content negotiation, devices, debugging and feature switches.
"""

FIELDS = """
Accept Accept-Charset Accept-Datetime Accept-Encoding Accept-Language Accept-Patch Accept-Ranges
Accept-CH Accept-Push-Policy Accept-Signature Access-Control-Request-Headers
Access-Control-Request-Method Alt-Used Api-Version App-Version Application-Id Authentication
Base-Url BaseUrl Cache-Control Cache-Info CDN-Loop CF-Connecting-IP CF-IPCountry CF-RAY CF-Visitor
Client-IP ClientIP Client-Id Cluster-Client-IP Contact Content-Disposition Content-Encoding
Content-Language Content-Location Content-MD5 Content-Range Content-Security-Policy Content-Type
Cookie2 Correlation-Id Country Cross-Origin-Resource-Policy Date Debug Destination Device-Id
Device-Memory Device-Type DNT Downlink DPR ECT Early-Data ETag Expect-CT Fastly-Client-IP
Fastly-FF Fastly-SSL Fastly-Temp-XFF Flag Forwarded Forwarded-For Forwarded-Host Forwarded-Proto
Forwarded-Server From Front-End-Https Geo-Country Global-Redirect GraphQL-Operation Http-Client-IP
HTTP-Host Http-Referer HTTP-X-Forwarded-For HTTP2-Settings If Idempotency-Key If-Match
If-Modified-Since If-None-Match If-Range If-Unmodified-Since Incap-Client-IP Language
Last-Event-ID Last-Modified Link Locale Location Max-Forwards MIME-Version NEL Origin
Origin-Agent-Cluster Overwrite P3P Ping-From Ping-To Pragma Prefer Priority Profile Proxy
Proxy-Authenticate Proxy-Authorization Proxy-Client-IP Proxy-Connection Proxy-Host Proxy-Url
Purpose Real-IP Redirect Referer Referrer Refresh Region Remote-Addr Remote-User Request-Id
Request-Uri RTT Save-Data Sec-CH-UA Sec-CH-UA-Mobile Sec-CH-UA-Platform Sec-Fetch-Dest
Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User Sec-GPC Service-Worker Session-Id Set-Cookie
SOAPAction Source-IP SSL-Client-Cert Surrogate-Capability Tenant Tenant-Id Test Theme Timeout
Timezone Token Traceparent Tracestate True-Client-IP Upgrade-Insecure-Requests Uri Url User
User-Agent User-Id Vary Version Via Viewport-Width Warning Width WL-Proxy-Client-IP
X-Accel-Redirect X-Access-Token X-Amz-Cf-Id X-Amz-Date X-Amzn-Trace-Id X-Api-Key X-Api-Version
X-App-Version X-Appengine-Country X-ATT-DeviceId X-Auth-Token X-Authenticated-User X-AB-Test
X-B3-Flags X-B3-ParentSpanId X-B3-Sampled X-B3-SpanId X-B3-TraceId X-Backend X-Backend-Host
X-Bluecoat-Via X-Cache X-Cdn X-Client-IP X-Client-Id X-Cloud-Trace-Context X-Cluster-Client-IP
X-Content-Type-Options X-Country X-Country-Code X-Correlation-Id X-CSRF-Token
X-Custom-IP-Authorization X-Debug X-Debug-Token X-Device X-Device-Type X-Environment X-Experiment
X-Feature X-Features X-Flag X-Forward-For X-Forwarded X-Forwarded-By X-Forwarded-For
X-Forwarded-For-Original X-Forwarded-Host X-Forwarded-Path X-Forwarded-Port X-Forwarded-Prefix
X-Forwarded-Proto X-Forwarded-Protocol X-Forwarded-Scheme X-Forwarded-Server X-Forwarded-SSL
X-Forwarded-Uri X-Forwarded-User X-Forwarder-For X-Geo X-Geo-Country X-Google-Cache-Control X-Host
X-Host-Override X-HTTP-Destinationurl X-HTTP-Host-Override X-HTTP-Method X-HTTP-Method-Override
X-HTTP-Path-Override X-Https X-Identity X-Internal X-Invoke-Path X-Is-Mobile X-Lang X-Language
X-Locale X-Logged-In X-Method-Override X-Mobile X-Nginx-Proxy X-No-Cache X-Organization X-Org-Id
X-Original-Cookie X-Original-Host X-Original-Path X-Original-Remote-Addr X-Original-Url
X-Originating-IP X-Pjax X-Platform X-Preview X-Proto X-ProxyUser-IP X-Proxy-Url X-Purge X-Query
X-Rack-Cache X-Real-Hostname X-Real-IP X-Real-Url X-Region X-Remote-Addr X-Remote-IP X-Remote-User
X-Request-Id X-Request-Start X-Request-Uri X-Requested-With X-Rewrite-Url X-Role X-Scheme
X-Server-Name X-Session-Id X-Site X-SSL X-SSL-Client-CN X-Subdomain X-Surrogate X-Tenant
X-Tenant-Id X-Test X-Theme X-Timezone X-Token X-True-IP X-Uidh X-UA-Device X-Url X-Url-Scheme
X-User X-User-Agent X-User-Id X-User-Name X-User-Role X-Variant X-Varnish X-Version X-Wap-Profile
X-WP-Nonce X-XSRF-Token
""".split()

PARAMETERS = """
_ _method action admin ajax api_key app auth base base_url callback cb cdn channel country
currency dbg debug demo device draft edit embed env error experiment export feature fields filter
flag flow force format from fullscreen geo gl hl host id include internal isAdmin json jsonp key l
lang language layout limitless locale loggedin m magic message mobile mode module next nocache
no_cache noredirect offset old org org_id origin output pageSize parent partial path pjax platform
pretty preview print profile proxy r raw redirect redirect_uri ref referer region relative render
return role route s scheme section session sid site skin sleep source sql state static step style
subdomain t tab target template tenant tenant_id test theme timezone title token track trace ts tz
type ui unit uri url user user_id utmx v value variant ver verbose version view w width xml z
""".split()

COOKIES = """
_session ab access_token admin auth beta bucket cart country csrftoken currency debug device
experiment feature flag geo id jwt lang language locale loggedin mobile org PHPSESSID preview role
session sessionid sid tenant test theme timezone token tracking uid user user_id variant version
""".split()

# Varnish as a cache that follows the origin; peers.py sets default_ttl=0 default_grace=0.
vcl 4.1;

backend origin {
    .host = "127.0.0.1";
    .port = "%ORIGIN_PORT%";
}

sub vcl_recv {
    # The built-in rules pass every request with Cookie or Authorization; the origin decides.
    if (req.method == "GET" || req.method == "HEAD") {
        if (req.http.Authorization) {
            return (pass);
        }
        return (hash);
    }
}

sub vcl_backend_response {
    # The built-in rules but for Set-Cookie, as Larder's `store set-cookie`.
    if (beresp.ttl <= 0s || beresp.http.Surrogate-Control ~ "(?i)no-store" ||
        (!beresp.http.Surrogate-Control &&
         beresp.http.Cache-Control ~ "(?i:no-cache|no-store|private)") ||
        beresp.http.Vary == "*") {
        set beresp.ttl = 120s;
        set beresp.uncacheable = true;
    }
    return (deliver);
}

"""Lets in whose connection is as the query says."""


def allow_access(environ, host):
    lookup = environ["mod_ssl.var_lookup"]
    if environ["QUERY_STRING"] == "plain":
        return not environ["mod_ssl.is_https"]() and not lookup("SSL_PROTOCOL")
    assert environ["mod_ssl.is_https"]()
    assert lookup("SSL_PROTOCOL").startswith("TLSv1."), lookup("SSL_PROTOCOL")
    assert lookup("SSL_SERVER_S_DN_CN") == "localhost", lookup("SSL_SERVER_S_DN_CN")
    assert not lookup("SSL_NO_SUCH_VARIABLE")
    return True

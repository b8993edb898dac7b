"""A study in a browser, on loopback only: optuna-dashboard has no password."""

from __future__ import annotations


def serve(url: str, port: int) -> None:
    """Serve the dashboard of a storage until this process is interrupted."""
    from wsgiref.simple_server import WSGIServer, make_server

    from optuna_dashboard import wsgi

    from mtl.study.storage import open_storage

    with make_server("127.0.0.1", port, wsgi(open_storage(url)), server_class=WSGIServer) as server:
        server.serve_forever()

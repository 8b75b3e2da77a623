"""A peer that speaks through pyzmq alone. See mod.rs for what it prints."""

import signal
import sys

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message


def make(folder, name):
    """Makes a certificate, <folder>/<name>.key and .key_secret. Prints its public key."""
    public, _ = zmq.auth.create_certificates(folder, name, {"name": name, "room": "12"})
    print(zmq.auth.load_certificate(public)[0].decode())


def show(path):
    """Prints the keys of a certificate."""
    for key in zmq.auth.load_certificate(path):
        print(key.decode() if key else "-")


def greet(socket, endpoint):
    """Connects, prints how the handshake ended, and greets if it ended well."""
    monitor = socket.get_monitor_socket()
    socket.connect(endpoint)
    report = recv_monitor_message(monitor)
    while report["event"] < zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        report = recv_monitor_message(monitor)
    print(zmq.Event(report["event"]).name, report["value"])
    if report["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
        socket.send_string("Hello")
        print(socket.recv_string())
    socket.disable_monitor()
    socket.close()


def curve_client(certificate, server_certificate, endpoint):
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(certificate)
    socket.curve_serverkey, _ = zmq.auth.load_certificate(server_certificate)
    greet(socket, endpoint)


def plain_client(name, password, endpoint):
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.plain_username = name.encode()
    socket.plain_password = password.encode()
    greet(socket, endpoint)


def serve(socket, configure):
    """Answers whom the authenticator admits, until it is killed. Prints who said what."""
    authenticator = ThreadAuthenticator(zmq.Context.instance())
    authenticator.start()
    configure(authenticator)
    socket.zap_domain = b"global"
    socket.bind("tcp://127.0.0.1:*")
    print(socket.last_endpoint.decode())
    while True:
        message = socket.recv(copy=False)
        print(message.get("User-Id"), message.bytes.decode())
        socket.send_string("World")


def curve_server(certificate, clients):
    socket = zmq.Context.instance().socket(zmq.REP)
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(certificate)
    socket.curve_server = True
    serve(socket, lambda auth: auth.configure_curve(domain="global", location=clients))


def plain_server(*logins):
    """Takes names and passwords in turn."""
    socket = zmq.Context.instance().socket(zmq.REP)
    socket.plain_server = True
    passwords = dict(zip(logins[::2], logins[1::2]))
    serve(socket, lambda auth: auth.configure_plain(domain="global", passwords=passwords))


COMMANDS = {
    "make": make,
    "show": show,
    "curve-client": curve_client,
    "plain-client": plain_client,
    "curve-server": curve_server,
    "plain-server": plain_server,
}

if __name__ == "__main__":
    signal.alarm(120)  # Whoever started us may be gone.
    sys.stdout.reconfigure(line_buffering=True)
    COMMANDS[sys.argv[1]](*sys.argv[2:])

"""Through ctypes, on pyzmq's own context, our authenticator decides as pyzmq's does.

Each scenario runs twice, with pyzmq's authenticator and with ours; what the server sees of each client must be the same.
"""

import ctypes
import os
import sys
import tempfile
import traceback

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

OK, TEXT_ENDS_WITH_NUL = 0, ctypes.c_size_t(-1)
ADMIT, REFUSE = 200, 400
SOON = 20000

library = ctypes.CDLL(os.environ["LIBIRONHOUSE_C"])
library.ironhouse_last_error.restype = ctypes.c_char_p
libzmq = ctypes.CDLL("libzmq.so.5")
api = ctypes.create_string_buffer(4096)

Decide = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Peer(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("domain", ctypes.c_char_p),
        ("address", ctypes.c_char_p),
        ("public_key", ctypes.c_char_p),
        ("principal", ctypes.c_char_p),
    ]


def call(name, *arguments):
    """Calls a function of the library; texts come with their lengths, and a number other than 0 is an exception."""
    flat = []
    for argument in arguments:
        if isinstance(argument, str):
            argument = argument.encode()
        if isinstance(argument, bytes):
            flat += [argument, ctypes.c_size_t(len(argument))]
        else:
            flat.append(argument)
    if getattr(library, name)(*flat) != OK:
        raise RuntimeError(f"{name}: {library.ironhouse_last_error().decode()}")


def made(name, *arguments):
    """Calls a function that makes a handle."""
    handle = ctypes.c_void_p()
    call(name, ctypes.byref(handle), *arguments)
    return handle


def destroy(kind, handle):
    call(f"ironhouse_{kind}_destroy", ctypes.byref(handle))
    assert handle.value is None


class Ours:
    """Our authenticator on a context of pyzmq's, with the calls of pyzmq's."""

    def __init__(self, context):
        self.handle = made("ironhouse_authenticator_start", api, ctypes.c_void_p(context.underlying), None)
        self.kept = []
        self.addresses = []

    def allow(self, address):
        self.addresses.append(("allow", address))

    def deny(self, address):
        self.addresses.append(("deny", address))

    def _set(self, domain, admit):
        policy = made("ironhouse_policy_new")
        for verb, address in self.addresses:
            call(f"ironhouse_policy_{verb}", policy, address)
        admit(policy)
        call("ironhouse_authenticator_set_policy", self.handle, domain, policy)
        destroy("policy", policy)

    def configure_null(self, domain):
        self._set(domain, lambda policy: call("ironhouse_policy_null", policy))

    def configure_plain(self, domain, passwords):
        users = made("ironhouse_passwords_memory")
        for name, password in passwords.items():
            call("ironhouse_passwords_insert", users, name, password)
        self._set(domain, lambda policy: call("ironhouse_policy_plain", policy, users))
        destroy("passwords", users)

    def configure_curve(self, domain, location):
        if location == zmq.auth.CURVE_ALLOW_ANY:
            return self._set(domain, lambda policy: call("ironhouse_policy_curve_any", policy))
        store = made("ironhouse_store_directory", location)
        self._set(domain, lambda policy: call("ironhouse_policy_curve_store", policy, store))
        destroy("store", store)

    def configure_curve_callback(self, domain, credentials_provider):
        @Decide
        def decide(_data, peer, _reply):
            peer = ctypes.cast(peer, ctypes.POINTER(Peer)).contents
            admitted = credentials_provider.callback(peer.domain.decode(), peer.public_key)
            return ADMIT if admitted else REFUSE

        self.kept.append(decide)
        self._set(domain, lambda policy: call("ironhouse_policy_curve_callback", policy, decide, None, None))

    def stop(self):
        destroy("authenticator", self.handle)


class Theirs:
    """pyzmq's."""

    def __init__(self, context):
        self.thread = ThreadAuthenticator(context)
        self.thread.start()
        for name in ("allow", "deny", "configure_plain", "configure_curve", "configure_curve_callback"):
            setattr(self, name, getattr(self.thread, name))

    def configure_null(self, domain):
        """By its addresses alone."""

    def stop(self):
        self.thread.stop()


class Provider:
    def __init__(self, key):
        self.key = key

    def callback(self, domain, key):
        # pyzmq hands the key over in Z85, as we do.
        return domain == "test" and key == self.key


def outcome(context, secure_server, secure_client):
    """What becomes of a client: the User-Id of its message, or that it was refused."""
    server, client = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    server.zap_domain = b"test"
    secure_server(server)
    secure_client(client)
    monitor = server.get_monitor_socket()
    client.linger = server.linger = 0
    server.rcvtimeo = SOON
    port = server.bind_to_random_port("tcp://127.0.0.1")
    client.connect(f"tcp://127.0.0.1:{port}")
    client.send(b"Hello")
    poller = zmq.Poller()
    poller.register(server, zmq.POLLIN)
    poller.register(monitor, zmq.POLLIN)
    result = None
    while result is None:
        ready = dict(poller.poll(SOON))
        assert ready, "neither a message nor an event"
        if server in ready:
            frame = server.recv(copy=False)
            try:
                result = frame.get("User-Id")
                # Who presents nothing is nobody to us, and "anonymous" to pyzmq.
                result = "" if result == "anonymous" else result
            except zmq.ZMQError:
                result = "admitted"
        elif monitor in ready:
            event = recv_monitor_message(monitor)
            if event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                result = f"refused ({event['value']})"
    server.disable_monitor()
    client.close()
    server.close()
    return result


def nothing(_socket):
    pass


def scenarios(folder):
    """Every scenario: its name, how the authenticator is set up, and the clients, each with what both ends set."""
    server_public, server_secret = zmq.curve_keypair()
    known_public, known_secret = zmq.curve_keypair()
    other_public, other_secret = zmq.curve_keypair()
    clients = os.path.join(folder, "clients")
    os.mkdir(clients)
    with open(os.path.join(clients, "known.key"), "w") as file:
        file.write(f'metadata\ncurve\n    public-key = "{known_public.decode()}"\n')

    def curve_server(socket):
        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = server_public, server_secret

    def curve_client(public, secret):
        def secure(socket):
            socket.curve_publickey, socket.curve_secretkey = public, secret
            socket.curve_serverkey = server_public

        return secure

    def plain_server(socket):
        socket.plain_server = True

    def plain_client(name, password):
        def secure(socket):
            socket.plain_username, socket.plain_password = name, password

        return secure

    known, other = curve_client(known_public, known_secret), curve_client(other_public, other_secret)
    open_to_all = [(nothing, nothing)]
    people = [(plain_server, plain_client(*who)) for who in ((b"ada", b"lovelace"), (b"ada", b"byron"), (b"eve", b"lovelace"))]
    keys = [(curve_server, known), (curve_server, other)]

    def set_up(method, *arguments, **addresses):
        def do(authenticator):
            for verb, address in addresses.items():
                getattr(authenticator, verb)(address)
            getattr(authenticator, method)(*arguments)

        return do

    return [
        ("allowed address", set_up("configure_null", "test", allow="127.0.0.1"), open_to_all),
        ("denied address", set_up("configure_null", "test", deny="127.0.0.1"), open_to_all),
        ("address not allowed", set_up("configure_null", "test", allow="192.0.2.7"), open_to_all),
        ("passwords", set_up("configure_plain", "test", {"ada": "lovelace"}), people),
        ("any key", set_up("configure_curve", "test", zmq.auth.CURVE_ALLOW_ANY), keys),
        ("keys of a directory", set_up("configure_curve", "test", clients), keys),
        ("keys by callback", set_up("configure_curve_callback", "test", credentials_provider=None), keys),
    ], known_public


def main():
    loaded = {line.split()[-1] for line in open("/proc/self/maps") if "libzmq" in line}
    assert len(loaded) == 1, f"one libzmq in this process: {loaded}"
    call("ironhouse_api_from_library", ctypes.c_void_p(libzmq._handle), api)
    with tempfile.TemporaryDirectory() as folder:
        every, known = scenarios(folder)
        for name, set_up, clients in every:
            if name == "keys by callback":
                def set_up(authenticator):
                    authenticator.configure_curve_callback("test", credentials_provider=Provider(known))

            seen = []
            for kind in (Theirs, Ours):
                context = zmq.Context()
                authenticator = kind(context)
                set_up(authenticator)
                seen.append([outcome(context, *ends) for ends in clients])
                authenticator.stop()
                context.term()
            print(f"{name}: {seen[1]}")
            assert seen[0] == seen[1], f"{name}: pyzmq's {seen[0]}, ours {seen[1]}"
        refused = [result for result in seen[1] if str(result).startswith("refused")]
        assert refused == ["refused (400)"], seen
    try:
        call("ironhouse_policy_new", None)
    except RuntimeError as error:
        assert "NULL" in str(error)
    else:
        sys.exit("NULL was taken for a place")


try:
    main()
except BaseException:
    traceback.print_exc()
    # Not by exit, which would wait for open sockets.
    os._exit(1)

//! Programs that must not compile: wrong use that the types rule out. Each fails by the error named here, which
//! `ci/check.sh` has rustdoc compare; so they are independent of the compiler's wording.

macro_rules! must_not_compile {
    ($($name:ident: $error:literal,)*) => {$(
        #[doc = concat!("```compile_fail,", $error)]
        #[doc = include_str!(concat!("../tests/ui/", stringify!($name), ".rs"))]
        #[doc = "```"]
        mod $name {}
    )*};
}

must_not_compile! {
    pair_that_subscribes: "E0599",
    poller_outlives_its_socket: "E0505",
    public_certificate_as_a_servers: "E0308",
    pull_that_sends: "E0599",
    push_that_receives: "E0599",
    read_only_option_written: "E0277",
    secret_key_copied: "E0308",
    secret_key_printed: "E0277",
    security_option_set_by_hand: "E0603",
    server_without_an_authenticator: "E0061",
    signing_key_copied: "E0308",
    signing_key_printed: "E0277",
    socket_secured_after_it_was_opened: "E0599",
    socket_shared_between_threads: "E0277",
    startup_option_set_later: "E0277",
    sub_without_a_subscription: "E0599",
    timers_on_another_thread: "E0277",
}

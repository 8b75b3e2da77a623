fn main() {
    pkg_config::Config::new()
        .atleast_version("1.0.18")
        .probe("libsodium")
        .unwrap();
    if std::env::var_os("CARGO_FEATURE_LINKED").is_some() {
        let lib = pkg_config::Config::new()
            .atleast_version("4.3.0")
            .probe("libzmq")
            .unwrap();
        println!("cargo:version={}", lib.version);
    }
    println!("cargo:origin=system");
}

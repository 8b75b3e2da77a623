use ironhouse::security::{CurveServer, SecretCertificate};

fn main() {
    let certificate = SecretCertificate::generate().unwrap();
    CurveServer::new(&certificate);
}

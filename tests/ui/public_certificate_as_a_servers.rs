use ironhouse::security::{Certificate, CurveServer, Domain};

fn serve(certificate: &Certificate, domain: &Domain) -> CurveServer {
    CurveServer::new(certificate, domain)
}

fn main() {}

use ironhouse::security::SigningKey;

fn copy(key: &SigningKey) -> SigningKey {
    key.clone()
}

fn main() {}

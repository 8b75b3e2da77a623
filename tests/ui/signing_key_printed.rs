use ironhouse::security::SigningKey;

fn print(key: &SigningKey) {
    println!("{key}");
}

fn main() {}

use ironhouse::security::SecretKey;

fn print(key: &SecretKey) {
    println!("{key}");
}

fn main() {}

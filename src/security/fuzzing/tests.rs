use super::*;

type Target = fn(&[u8]);

#[test]
fn every_kept_input_keeps_the_promises() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let targets: [(&str, Target); 11] = [
        ("zpl", super::zpl),
        ("signing", signing),
        ("keyfile", super::keyfile),
        ("pins", super::pins),
        ("certificate", certificate),
        ("validity", validity),
        ("keys", keys),
        ("passwords", passwords),
        ("addresses", addresses),
        ("zap", zap),
        ("config", super::config),
    ];
    for (name, target) in targets {
        let mut inputs = 0;
        for input in fs::read_dir(corpora.join(name)).unwrap() {
            let path = input.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{name}");
    }
}

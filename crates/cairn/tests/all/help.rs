//! The help of every command, the completions and the manual pages.

use crate::cloud::Cloud;
use crate::golden;

/// The commands below these words, from the words' own help.
fn below(cloud: &Cloud, words: &str) -> Vec<String> {
    let help = cloud.bare(&format!("{words} -h")).run();
    assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{words}");
    let commands =
        help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let named = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.map(|line| format!("{words} {}", line.split_whitespace().next().unwrap())).collect()
}

fn all(cloud: &Cloud) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut next = 0;
    while next < all.len() {
        let more = below(cloud, &all[next]);
        all.splice(next + 1..next + 1, more);
        next += 1;
    }
    all
}

#[test]
fn every_command_explains_itself() {
    let cloud = Cloud::start();
    let commands = all(&cloud);
    let mut text = String::new();
    for words in &commands {
        let help = cloud.bare(&format!("{words} --help")).run().stdout;
        // What every command takes is explained once.
        let own = help.split("Options of every command:").next().unwrap();
        let shown = if words.is_empty() { help.as_str() } else { own };
        let shown: String = shown.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        text.push_str(&format!("$ cairn{words} --help\n{}\n\n", shown.trim_end()));
    }
    golden::check("help", &text);
    assert_eq!(commands.len(), 99, "{commands:#?}");
}

#[test]
fn every_command_takes_what_every_command_takes() {
    let cloud = Cloud::start();
    for words in all(&cloud) {
        let help = cloud.bare(&format!("{words} --help")).run().stdout;
        for flag in ["--output", "--context", "--url", "--ca", "--quiet", "--verbose"] {
            assert!(help.contains(flag), "{words} {flag}");
        }
    }
}

#[test]
fn completions_and_manual_pages() {
    let cloud = Cloud::start();
    for shell in ["bash", "zsh", "fish"] {
        let ran = cloud.bare(&format!("completion {shell}")).run();
        assert!(ran.code == 0 && ran.stderr.is_empty() && ran.stdout.contains("power-cycle"), "{shell}");
    }
    let directory = cloud.home.path().join("man");
    let ran = cloud.bare("man").word(directory.to_str().unwrap()).run();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    let pages: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|page| page.unwrap().file_name()).collect();
    assert_eq!(pages.len(), all(&cloud).len(), "{pages:?}");
    let page = std::fs::read_to_string(directory.join("cairn-server-create.1")).unwrap();
    assert!(page.contains("user\\-data\\-file"), "{page}");
}

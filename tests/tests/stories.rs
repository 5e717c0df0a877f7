//! Every story in `tests/stories/` holds for the model and for the real stack.

use std::path::PathBuf;

use cronmon_tests::story;
use futures_util::future::join_all;

#[tokio::test(flavor = "multi_thread")]
async fn every_story_holds_for_the_model_and_the_real_stack() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/stories"));
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "only {} stories were found", files.len());
    let mut broken = Vec::new();
    for some in files.chunks(8) {
        let results = join_all(some.iter().map(|file| story::run(file))).await;
        for (file, result) in some.iter().zip(results) {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            match result {
                Ok(()) => println!("story {name}"),
                Err(why) => broken.push(format!("{name}: {why}")),
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

//! The page on usage says what the API says.

use parlour_wire::usage::Definitions;

#[test]
fn what_the_figures_mean_stands_on_their_page_word_for_word_f5_16() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/usage.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = words(&page);
    let definitions = serde_json::to_value(Definitions::default()).expect("texts are JSON");
    for (name, text) in definitions.as_object().expect("an object") {
        assert!(page.contains(&words(text.as_str().expect("a text"))), "{name}: {text}");
    }
}

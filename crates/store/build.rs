//! `sqlx::migrate!` embeds the migrations when the crate is compiled, and cargo does not see a new file by itself.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}

//! `cairn admin login` and `whoami`: an operator's token, tried and stored.

use super::get;
use crate::arguments::Global;
use crate::client::Client;
use crate::command::login::{Place, ask_url, given};
use crate::contexts::{self, Contexts, Environment};
use crate::failure::Result;
use crate::print::Shown;
use crate::progress::Progress;
use crate::session::{Session, warn_if_exposed};
use std::path::Path;
use std::rc::Rc;
use wire::admin::Operator;

impl Shown for Operator {
    const COLUMNS: &'static [&'static str] = &["NAME", "SCOPES", "TOKEN", "CREATED"];

    fn row(&self) -> Vec<String> {
        let scopes = if self.scopes.is_empty() { "everything".to_owned() } else { self.scopes.join(", ") };
        vec![self.name.clone(), scopes, self.token_id.to_string(), self.created_at.to_string()]
    }

    fn word(&self) -> String {
        self.name.clone()
    }
}

/// Tries a token, and stores it.
pub(super) async fn run(file: Option<&Path>, global: &Global) -> Result<()> {
    let progress = Rc::new(Progress::new(global.loudness()));
    let (place, name) = place(global)?;
    warn_if_exposed(&place.base, &progress);
    let token = given(file, "Operator's token: ")?;
    let client = Client::new(place.base.clone(), token.clone(), place.ca.as_deref(), Rc::clone(&progress))?;
    let operator = client.one::<Operator>(&get(&[&"operator"]), "operator").await?.value;
    let (url, name) = place.store(name, |context| context.operator_token = Some(token))?;
    let who = operator.name;
    progress.say(&format!("Logged in to {url} as the operator `{who}`. The context `{name}` is used from now on."));
    Ok(())
}

/// The installation of the context that is named or current, unless another one is named; and the context's name.
fn place(global: &Global) -> Result<(Place, Option<String>)> {
    let contexts = Contexts::read(&contexts::path()?)?;
    let environment = Environment::read()?.choice;
    let asked = global.url.is_some() || environment.url.is_some();
    let name = global.context.clone().or(environment.context).or(contexts.current.clone());
    let known = name.as_deref().and_then(|name| contexts.all.get(name));
    let mut place = Place::of(global, || known.map_or_else(ask_url, |context| Ok(context.url.clone())))?;
    let same = known.is_some_and(|context| context.url == place.base.to_string().trim_end_matches('/'));
    if same {
        place.ca = place.ca.or(known.and_then(|context| context.ca.clone()));
    }
    // A context of another installation is not written over unless it is named.
    let name = if same || !asked { name } else { global.context.clone() };
    Ok((place, name))
}

/// Shows whose token is used.
pub(super) async fn whoami(session: &Session) -> Result<()> {
    session.printer.one(&session.client.one::<Operator>(&get(&[&"operator"]), "operator").await?)
}

//! How well a host suits that breaks no rule.

use super::rules::{Amount, Fit};
use super::{Headroom, Host, Keep, Preference, Request, Strictness};

/// The best score, and the whole of every part of it: parts are in millionths.
const WHOLE: u32 = 1_000_000;

/// The mean of the parts that the request asks for, with its weights.
pub(super) fn score(request: &Request, host: &Host, fit: &Fit<'_>) -> u32 {
    let amounts = Amount::all(request, host);
    let weights = request.weights;
    let parts = [
        (weights.room, Some(room(request, &amounts, fit))),
        (weights.group, group(request, host)),
        (weights.headroom, headroom(request, &amounts)),
        (weights.cost, Some(WHOLE - fraction(i64::from(host.cost), i64::from(Host::DEAREST)))),
    ];
    let (mut sum, mut of) = (0, 0);
    for (weight, part) in parts {
        if let Some(part) = part {
            sum += u64::from(weight) * u64::from(part);
            of += u64::from(weight);
        }
    }
    // A mean of parts is no larger than the largest.
    sum.checked_div(of).and_then(|mean| u32::try_from(mean).ok()).unwrap_or_default()
}

/// Of the scarcest resource with the server there, what is free ([`Preference::Spread`]) or used
/// ([`Preference::Pack`]). The storage of its disk is one of the resources.
fn room(request: &Request, amounts: &[Amount; 3], fit: &Fit<'_>) -> u32 {
    let used = amounts.iter().map(|amount| fraction(amount.reserved.saturating_add(amount.need), amount.capacity));
    let stored = fit.storage.map(|storage| {
        let left = storage.free_gb.saturating_sub(request.needs.disk_gb.max(0));
        fraction(storage.total_gb.saturating_sub(left), storage.total_gb)
    });
    let scarcest = used.chain(stored).max().unwrap_or_default();
    match request.preference {
        Preference::Spread => WHOLE - scarcest,
        Preference::Pack => scarcest,
    }
}

/// Apart: the whole where no member is, half where there is one, a third where there are two. Together: the other way
/// round.
fn group(request: &Request, host: &Host) -> Option<u32> {
    let wish = request.group.as_ref().filter(|wish| wish.strictness == Strictness::Soft)?;
    let apart = WHOLE / host.members(&wish.group).saturating_add(1);
    Some(match wish.keep {
        Keep::Apart => apart,
        Keep::Together => WHOLE - apart,
    })
}

/// The whole where the headroom stays; else how much of it does, of the resource of which least does.
fn headroom(request: &Request, amounts: &[Amount; 3]) -> Option<u32> {
    let Headroom { percent, .. } = request.headroom.filter(|wish| wish.strictness == Strictness::Soft)?;
    let taken = amounts.iter().filter(|amount| amount.need > 0);
    let stays = taken.map(|amount| {
        let kept = i128::from(amount.capacity) * i128::from(percent) / 100;
        if kept == 0 { WHOLE } else { fraction(amount.left(), i64::try_from(kept).unwrap_or(i64::MAX)) }
    });
    Some(stays.min().unwrap_or(WHOLE))
}

/// `part` of `whole` in millionths, between none and all. Of nothing, everything is all and nothing is none.
fn fraction(part: i64, whole: i64) -> u32 {
    let (part, whole) = (part.max(0).unsigned_abs(), whole.max(1).unsigned_abs());
    if part >= whole {
        return WHOLE;
    }
    // The narrow division is several times as fast and does for every host that there is.
    let millionths = match part.checked_mul(u64::from(WHOLE)) {
        Some(product) => product / whole,
        None => part / (whole / u64::from(WHOLE)).max(1),
    };
    u32::try_from(millionths).unwrap_or(WHOLE).min(WHOLE)
}

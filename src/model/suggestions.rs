//! "Did you mean …?"

/// The name that was probably meant: the most similar one, if it is similar at all.
pub fn suggest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    names
        .into_iter()
        .filter(|name| {
            *name != wrong && name.len().abs_diff(wrong.len()) * 3 <= name.len() + wrong.len()
        })
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| {
            // Up to a third of the letters may differ: `ordres` is `orders`, `a` is not `b`.
            let letters = wrong.chars().count().max(name.chars().count());
            *distance * 3 <= letters || (wrong.len() > 3 && name.starts_with(wrong))
        })
        .min_by(|(a, first), (b, second)| a.cmp(b).then_with(|| first.cmp(second)))
        .map(|(_, name)| name)
}

// A page opened as a file cannot read others. The search then lists pages without text around the match, and the versions
// are those known when the site was built.
const onServer = location.protocol !== "file:";
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = onServer;

// Versions are folders next to each other, and versions.json in each of them lists their names, the newest first.
async function showVersions(list) {
  const root = new URL(document.documentElement.dataset.content_root, location.href);
  const current = list.dataset.current;
  let versions = JSON.parse(list.dataset.versions);
  if (onServer) {
    const answer = await fetch(new URL("versions.json", root));
    if (answer.ok) versions = await answer.json();
  }
  const others = versions.filter((version) => version !== current);
  list.replaceChildren(...(others.length ? others : [null]).map((version) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.textContent = version;
    link.href = new URL(`../${version}/index.html`, root).href;
    item.append(version === null ? "No other version is published." : link);
    return item;
  }));
}

document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".versions ul").forEach(showVersions));

"""`labs images` and `labs cache`."""

from __future__ import annotations

import click

from labsupport.cli.options import emit, json_option


@click.command("images")
@json_option
def images_command(as_json: bool) -> None:
    """List the images that a cluster has. Nothing is pulled: another name fails as on any cluster."""
    from labsupport.cluster.images import listing

    images = listing()
    width = max(len(image["name"]) for image in images)
    human = "\n".join(f"{image['name']:{width}}  {image['about']}" for image in images)
    emit({"images": images}, as_json=as_json, human=human)


@click.command("cache")
@click.option("--prune", is_flag=True, help="Remove what no cluster and no next `up` needs.")
@json_option
def cache_command(prune: bool, as_json: bool) -> None:
    """Say what the cache holds and how large it is; all of it can be fetched or built again."""
    from labsupport import paths
    from labsupport.cluster import cachelist

    cache = paths.cache()
    removed = cachelist.prune(cache) if prune else []
    items = cachelist.contents(cache)

    def rows(chosen: list[cachelist.Item]) -> list[dict[str, object]]:
        return [
            {
                "path": str(item.path),
                "what": item.what,
                "mb": round(item.size / 1e6, 1),
                "needed": item.needed,
            }
            for item in chosen
        ]

    lines = [f"{cache}: {sum(item.size for item in items) / 1e6:.0f} MB"]
    lines += [f"  removed {item.size / 1e6:8.0f} MB  {item.path.relative_to(cache)}" for item in removed]
    for item in items:
        state = "" if item.needed else "  (not needed: --prune)"
        lines.append(f"  {item.size / 1e6:8.0f} MB  {item.path.relative_to(cache)}{state}")
    data = {"directory": str(cache), "items": rows(items), "removed": rows(removed)}
    emit(data, as_json=as_json, human="\n".join(lines))

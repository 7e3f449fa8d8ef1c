"""The judge's side: a bundle against its manifest, its runs against their records and the rules."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pokora_anime.catalogue.registry_row import Row
from pokora_anime.errors import ConfigError, RecordError
from pokora_anime.findings import Finding, Severity
from pokora_anime.provenance.hashing import Json
from pokora_anime.submission import file_names
from pokora_anime.submission.bundle import file_list, manifest
from pokora_anime.submission.bundle.file_list import MOST_RUNS, Records
from pokora_anime.submission.bundle.manifest import Manifest
from pokora_anime.submission.check import contents_check, rules_check
from pokora_anime.untrusted.container import Unreadable, finding
from pokora_anime.untrusted.folder_listing import Folder
from pokora_anime.untrusted.read_limits import LIMITS, Limits
from pokora_anime.untrusted.run_source import open_source
from pokora_anime.untrusted.untrusted_names import problem, shown
from pokora_anime.verify.examine_run import examine_folder, few
from pokora_anime.verify.report_data import Exhibits
from pokora_anime.verify.verdict import Report

Examined = tuple[Report, Exhibits]


def examine_and_show(
    path: Path, *, key: str = "", contest: str = "", limits: Limits = LIMITS, pictures: bool = True
) -> Examined:
    """Verifies a bundle, or a run where there is none; folder or zip. Never raises for what is wrong with it.

    `key` is the fingerprint that must have signed bundle and runs. Raises ConfigError CFG-CONTEST.
    """
    started = time.monotonic()
    found: list[Finding] = []
    try:
        with open_source(path, limits) as folder:
            found += folder.findings
            if file_names.MANIFEST not in folder.sizes:
                report, show = examine_folder(
                    folder, shown(path), key=key, contest=contest, limits=limits, pictures=pictures
                )
            else:
                told = read_manifest(folder, limits)
                bundle = _Bundle(
                    folder=folder, told=told, key=key, contest=contest or told.contest, limits=limits
                )
                report, show = bundle.examined(path, pictures=pictures)
            return replace(report, seconds=time.monotonic() - started), show
    except Unreadable as error:
        return Report(subject=shown(path), integrity=tuple(found), unreadable=error.line()), Exhibits()


def listed_runs(folder: Folder, limits: Limits) -> list[str]:
    """The folders of a bundle's runs, each once. Raises Unreadable BND-MANIFEST."""
    told = dict.fromkeys(read_manifest(folder, limits).runs)
    return [name for name in told if name.startswith(f"{file_names.RUNS}/") and not problem(name)][:MOST_RUNS]


def read_manifest(folder: Folder, limits: Limits) -> Manifest:
    """What the bundle says that it is. Raises Unreadable BND-MANIFEST."""
    try:
        return manifest.parse(folder.read(file_names.MANIFEST, limits.json_bytes))
    except (RecordError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        got = error.got if isinstance(error, RecordError) else "nested too deeply"
        raise Unreadable("BND-MANIFEST", shown(got), expected="a bundle as pokora writes it") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bundle:
    """A bundle on the way to its verdict; `key` must have signed it, `contest` is the one it is judged by."""

    folder: Folder
    told: Manifest
    key: str
    contest: str
    limits: Limits

    def examined(self, path: Path, *, pictures: bool) -> Examined:
        """Everything that is found in it, and the pictures of the first run that has some."""
        # Only a bundle needs it, and `pokora verify` of a run starts sooner without.
        from pokora_anime.submission.bundle import stated_loras

        listed = listed_runs(self.folder, self.limits)
        by_run = file_list.records(self.folder, listed, self.limits)
        stated, odd = stated_loras.read(self.folder, by_run, self.limits)
        with stated_loras.known(self.folder, stated):
            return self._examined(path, listed, by_run, (stated, odd), pictures=pictures)

    def _examined(
        self,
        path: Path,
        listed: Sequence[str],
        by_run: Records,
        loras: tuple[tuple[Row, ...], list[Finding]],
        *,
        pictures: bool,
    ) -> Examined:
        """The same where the own LoRAs that it states are known, and what was found in the others."""
        from pokora_anime.submission.bundle import data_cards, rewritten_files, stated_loras

        folder, told, limits = self.folder, self.told, self.limits
        weights, odd_weights = rewritten_files.read_weights(folder, by_run, limits)
        integrity = [*self._sealed(path, by_run), *loras[1], *odd_weights]
        integrity += stated_loras.check(loras[0], weights.rows)
        policy = [*rules_check.check(folder, told, self.contest)]
        show, runs = Exhibits(), list[tuple[str, Report]]()
        for name in listed:
            report, exhibits = self._run(name, self.contest, pictures=pictures and not show.graph)
            show = exhibits if exhibits.graph else show
            runs.append((name, report))
            if report.unreadable:
                integrity.append(finding("BND-RUN", "a run that cannot be read", name, report.unreadable))
            integrity += [_inside(name, one) for one in report.integrity]
            policy += [_inside(name, one) for one in report.policy]
            policy += rules_check.code(by_run[name], name, told)
        integrity += data_cards.check(folder, weights.rows, limits)
        integrity += rewritten_files.check(folder, told, weights, self._as_packed(runs), limits)
        sound = not _blocked(integrity, runs)
        integrity += _documents(folder, told, weights.rows, listed, limits, sound=sound)
        return Report(
            subject=shown(path),
            facts=self._facts(runs),
            integrity=few(integrity, limits),
            policy=few(policy, limits),
            contest=self.contest,
        ), show

    def _sealed(self, path: Path, by_run: Records) -> Iterator[Finding]:
        """What is found in the files, the signature, the source and the archive itself."""
        from pokora_anime.submission.check import source_check

        folder, told, limits = self.folder, self.told, self.limits
        yield from folder.findings
        yield from contents_check.files(folder, told)
        yield from contents_check.signature(folder, told, self.key, limits)
        yield from file_list.check(folder, told, by_run)
        yield from source_check.check(folder, told, limits)
        yield from contents_check.signed_copies(folder, file_list.of(told, by_run), limits)
        yield from contents_check.container(path, folder)

    def _run(self, name: str, contest: str, *, pictures: bool) -> Examined:
        root, key, limits = self.folder.root / name, self.key, self.limits
        if not root.is_dir():
            return Report(subject=name, unreadable="the folder is not there"), Exhibits()
        try:
            inside = Folder(root, limits)
            return examine_folder(inside, name, key=key, contest=contest, limits=limits, pictures=pictures)
        except Unreadable as error:
            return Report(subject=name, unreadable=error.line()), Exhibits()
        except ConfigError:  # a contest that this install does not know
            inside = Folder(root, limits)
            return examine_folder(inside, name, key=key, contest="", limits=limits, pictures=pictures)

    def _as_packed(self, runs: Sequence[tuple[str, Report]]) -> Sequence[tuple[str, Report]]:
        """The runs judged by the bundle's own contest, which the page inside was written for."""
        own = self.told.contest
        if self.contest == own:
            return runs
        return [(name, self._run(name, own, pictures=False)[0]) for name, _ in runs]

    def _facts(self, runs: Sequence[tuple[str, Report]]) -> dict[str, str]:
        told = self.told
        facts = {"title": shown(told.title, 120), "contest": shown(told.contest, 60)}
        for _, report in runs:
            facts |= {name: text for name, text in report.facts.items() if name not in facts}
        return facts | {
            "members": shown(", ".join(f"{one['name']} ({one['id']})" for one in told.members), 400),
            "source": f"commit {shown(told.source['commit'], 60)}",
            "runs": ", ".join(map(shown, told.runs)),
        }


def _documents(
    folder: Folder,
    told: Manifest,
    rows: Sequence[dict[str, Json]],
    runs: Sequence[str],
    limits: Limits,
    *,
    sound: bool,
) -> list[Finding]:
    """What is found in write-up and poster; of a `sound` bundle they are set again and compared."""
    from pokora_anime.submission.check import documents_again, documents_check

    if not sound:
        return [*documents_check.check(folder, told, rows, None)]
    again = documents_again.again(folder, told, runs)
    if isinstance(again, Finding):
        return [again, *documents_check.check(folder, told, rows, None)]
    return [
        *documents_again.check(folder, told, again, limits),
        *documents_check.check(folder, told, rows, again),
    ]


def _blocked(integrity: Sequence[Finding], runs: Sequence[tuple[str, Report]]) -> bool:
    """Whether something was found in bundle or runs that bars making anything of them."""
    return any(one.severity is Severity.block for one in integrity) or any(
        report.unreadable or any(one.severity is Severity.block for one in report.integrity)
        for _, report in runs
    )


def _inside(run: str, one: Finding) -> Finding:
    short = run.removeprefix(f"{file_names.RUNS}/").partition("/")[0]
    return replace(one, where=f"{short}: {one.where}" if one.where else short)

"""Operations of the provenance graph: the one closed list that recording, verification and replay read.

Torch-free, and it imports nothing of the package: what only a room above can work out (a parameter that
follows from the config, a count, a role that depends on it) is named here by a member of an enum.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

Array = tuple[str, int]  # dtype and number of axes; 0 axes: by the node's params
EACH_KIND = "<kind>"  # in the name of an array or a file: one of each kind of control map
EACH_STOP = "<stop>"  # and one of each further stop of a prompt


class Makes(Enum):
    """What an operation makes."""

    nothing = "what no operation makes"
    text = "embeddings"
    noise = "noise"
    picture = "a picture with its latent"
    choice = "the best of several pictures, and the scores of all"
    copy = "the latent of another shot's picture"
    embedding = "an IP-Adapter's tokens of a picture"
    segment = "the latents of a segment"
    maps = "control maps of one frame"
    frame_maps = "control maps of each frame of a segment"
    poses = "joints of each frame of a clip"
    frames = "the hashes of the delivered frames"
    video = "the encoded clip"
    file = "a PNG and nothing else"


class Setting(Enum):
    """A parameter that follows from the config, where it is not one of its values as it stands."""

    frame_size = "width and height of the base's frames"
    larger_size = "width and height of the second pass's frames"
    delivered_size = "width and height of the delivered frames"
    still_loras = "LoRAs and strengths of a picture"
    moving_loras = "LoRAs and strengths of a segment, a camera's among them"
    draft_speed = "the speed with a draft's steps"
    kinds = "kinds of control maps"
    read_kinds = "kinds of control maps that are read in the keyframe"
    pose_control = "settings of control, for poses alone"
    identity_scale = "how much the keyframe's image embedding counts"
    sheet_frames = "how many frames a contact sheet shows"
    open_words = "each parameter of the words that the seed chooses"
    choreography = "each parameter of the plan of a clip's poses"
    accents = "what a beat or a sound moves, where there is one"
    sound = "the sound in the video, where there is one"


class Count(Enum):
    """How many nodes of an operation a clip has."""

    keyframes = "as many as best_of says where there is a keyframe"
    selections = "one where there are several keyframes"
    read_maps = "one where maps are read in the keyframe"
    choreographies = "one where poses are planned"
    drafted = "one a segment where there is a draft"
    joins = "one a join where maps are read at joins"
    embeddings = "one where segments see the keyframe through an IP-Adapter"


class Spans(Enum):
    """Which plan lays out an operation's segments."""

    clip = "the clip's"
    draft = "the clip's, where there is a draft"
    second_pass = "the second pass's"


class Need(Enum):
    """Roles of weights that an operation cannot do without and that the config decides."""

    adapter = "the base's motion adapter"
    identity = "an IP-Adapter where segments see the keyframe through one"
    controlnets = "a ControlNet for each kind of map that the node tells"
    extractors = "an extractor for each kind of map"
    read_extractors = "an extractor for each kind of map that is read in the keyframe"
    finishing = "the networks beside the VAE that finish a frame"
    judge = "what reads from a picture how much of the prompt it shows"


class Replay(Enum):
    """How an operation is computed again, or why it is not."""

    always = "whatever the nonce: cheap, and a door for an outside picture"
    drawn = "where the nonce picks it"
    segments = "not as a node: the frames that it delivers are, segment by segment"
    verified = "not at all: verification decodes what is delivered and holds every frame against the record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the closed list.

    `parents`: by place, which operations its parents are; "?" marks one that may be absent, "+" one that
    may come several times, "|" two of which one is there. `draws`: it may make a picture without one, out
    of text and noise. `stores`: its arrays in the run folder; "?" marks one that may be absent. `follows`:
    params that the config decides, by a path in it or a Setting ("*": the Setting names them); `free`:
    those that the run settles, checked where their meaning is known. `loads`: kinds of weights that it may
    load, `needs` and `needs_of`: roles that it cannot do without.
    """

    name: str
    makes: Makes
    parents: tuple[str, ...] = ()
    draws: bool = False
    in_stills: bool = False  # stills have it too
    once: bool = False  # at most one in a clip
    result_of: str = ""  # the command whose result it makes
    stores: Mapping[str, Array] = field(default_factory=dict[str, Array])
    shown_in: str = ""  # the PNG of a clip's run folder that shows its image, or each of its maps
    caption: str = ""  # behind the kind of a map in a report
    follows: Mapping[str, str | Setting] = field(default_factory=dict[str, str | Setting])
    free: frozenset[str] = frozenset()
    noise: str = ""  # the kind of derivation of the noise that it draws from
    place: str = ""  # the param that tells its nodes apart beside their seed; "" for one of its kind
    count: Count | None = None  # None: as many as other laws say
    spans: Spans | None = None
    rerolled: bool = False  # a segment may be made again, from other noise
    superseded: bool = False  # all its nodes in a ledger may be of an earlier lap
    loads: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    needs_of: tuple[Need, ...] = ()
    replay: Replay = Replay.drawn

    @property
    def sources(self) -> tuple[str, ...]:
        """Every operation that one of its parents may be, in their order."""
        return tuple(name for wanted in self.parents for name in _names(wanted))

    @property
    def replayed(self) -> bool:
        """Whether its nodes are computed again from their stored parents."""
        return self.replay in (Replay.always, Replay.drawn)

    @property
    def steers(self) -> bool:
        """Whether it makes control maps, or the poses that they are drawn of."""
        return self.makes in (Makes.maps, Makes.frame_maps, Makes.poses)

    @property
    def leads_on(self) -> bool:
        """Whether it is made from one segment for the next one of the same operation."""
        return any(self.name in of(source).sources for source in self.sources)

    @property
    def framewise(self) -> bool:
        """Whether its arrays hold every frame's joints or grey map, which are no pictures yet."""
        return self.makes in (Makes.frame_maps, Makes.poses)


def of(name: str) -> Operation:
    """The operation with this name; for one that is not on the list, one that may do nothing."""
    return OPERATIONS.get(name, _UNKNOWN)


def parents_fit(op: str, parents: Sequence[str]) -> bool:
    """Whether an operation may have parents with these operations, in this order."""
    rest = list(parents)
    for wanted in of(op).parents:
        names = _names(wanted)
        name = rest[0] if rest and rest[0] in names else names[0]
        found = 0
        while rest and rest[0] == name and (found == 0 or wanted.endswith("+")):
            del rest[0]
            found += 1
        if found == 0 and "?" not in wanted:
            return False
    return op in OPERATIONS and not rest


def delivering(ops: Collection[str]) -> str:
    """Of the operations in a clip, the one whose segments are delivered: a second pass if there is one."""
    return HIRES.name if HIRES.name in ops else MOTION.name


def replay_order() -> tuple[str, ...]:
    """The replayed operations, each after all that it may be made from and that are not made from it."""
    order = {name: index for index, name in enumerate(OPERATIONS)}

    def turn(operation: Operation) -> tuple[int, int]:
        before = [source for source in operation.sources if operation.name not in of(source).sources]
        return max((order[operation.name], 0), *((order[source], 1) for source in before), (-1, 0))

    replayed = [operation for operation in OPERATIONS.values() if operation.replayed]
    return tuple(operation.name for operation in sorted(replayed, key=turn))


def _names(wanted: str) -> list[str]:
    return wanted.rstrip("?+").split("|")


_PICTURE: Mapping[str, Array] = {"latent": ("<f4", 3), "image": ("|u1", 3)}
_LATENTS: Mapping[str, Array] = {"latents": ("<f4", 4)}
_MAPS: Mapping[str, Array] = {f"{EACH_KIND}?": ("|u1", 3)}
_DRAWN: Mapping[str, str | Setting] = {
    "size": Setting.frame_size,
    "seed": "seed",
    "speed": "speed",
    "loras": Setting.still_loras,
}
_MOVING: Mapping[str, str | Setting] = {
    **_DRAWN,
    "loras": Setting.moving_loras,
    "motion": "motion",
    "timeline": "timeline",
}
_READ: Mapping[str, str | Setting] = {"size": Setting.frame_size, "kinds": Setting.kinds}
_STILL_LORAS, _MOVING_LORAS = (
    frozenset({"speed_lora", "style_lora"}),
    frozenset({"speed_lora", "style_lora", "motion_lora"}),
)
_SEGMENT_NEEDS = (Need.controlnets, Need.adapter, Need.identity)
_UNKNOWN = Operation(name="", makes=Makes.nothing, replay=Replay.verified)

PROMPT = Operation(
    name="prompt",
    makes=Makes.text,
    in_stills=True,
    once=True,
    stores={
        "embeds": ("<f4", 2),
        "negative_embeds": ("<f4", 2),
        "pooled?": ("<f4", 1),
        "negative_pooled?": ("<f4", 1),
        f"embeds_{EACH_STOP}?": ("<f4", 2),
        f"pooled_{EACH_STOP}?": ("<f4", 1),
    },
    follows={
        "text": "shot.prompt",
        "prefix": "shot.prefix",
        "negative": "shot.negative",
        "loras": Setting.still_loras,
        "*": Setting.open_words,
    },
    free=frozenset({"pieces", "tokens"}),
    place="chosen",  # a still's, by its seed
    loads=_STILL_LORAS | {"base"},
    needs=frozenset({"text"}),
    replay=Replay.always,
)
NOISE = Operation(
    name="noise",
    makes=Makes.noise,
    in_stills=True,
    stores={"noise": ("<f4", 0)},
    follows={"seed": "seed"},
    free=frozenset({"shape", "derivation"}),
    place="derivation",
)
KEYFRAME = Operation(
    name="keyframe",
    makes=Makes.picture,
    parents=("prompt", "noise", "likeness?"),
    draws=True,
    in_stills=True,
    stores=_PICTURE,
    shown_in="keyframe.png",
    follows=_DRAWN,
    free=frozenset({"part", "generator"}),
    noise="picture",
    place="part",
    count=Count.keyframes,
    loads=_STILL_LORAS | {"base", "vae"},
    needs=frozenset({"unet", "vae"}),
)
IDENTITY = Operation(
    name="likeness",
    makes=Makes.copy,
    parents=("keyframe|selection|redrawn",),  # the first shot's, for a later one's keyframe
    once=True,
    stores={"latent": ("<f4", 3)},
    follows={"size": Setting.frame_size, "likeness": "keyframe.likeness"},
    replay=Replay.always,
)
SELECTION = Operation(
    name="selection",
    makes=Makes.choice,
    parents=("prompt", "keyframe+"),
    once=True,
    stores={**_PICTURE, "scores": ("<f4", 1)},  # the picture with the highest score, and the scores of all
    shown_in="keyframe.png",  # in the last candidate's place
    follows={"size": Setting.frame_size, "best_of": "best_of"},
    count=Count.selections,
    loads=frozenset({"scorer"}),
    needs_of=(Need.judge,),
    replay=Replay.always,
)
CONTROL = Operation(
    name="control",
    makes=Makes.maps,
    parents=("keyframe|selection|redrawn",),
    once=True,
    stores=_MAPS,
    shown_in=f"control_{EACH_KIND}.png",
    follows={"size": Setting.frame_size, "kinds": Setting.read_kinds},
    free=frozenset({"last_attempt"}),
    count=Count.read_maps,
    loads=frozenset({"extractor"}),
    needs_of=(Need.read_extractors,),
    replay=Replay.always,
)
CHOREOGRAPHY = Operation(
    name="choreography",
    makes=Makes.poses,
    parents=("prompt", "keyframe|selection"),
    once=True,
    stores={"pose": ("<f4", 3), "figure": ("<f4", 2)},  # joints of every frame, and of the keyframe
    caption="of the choreography",
    follows={"size": Setting.frame_size, "*": Setting.choreography},
    count=Count.choreographies,
    loads=frozenset({"choreographer", "extractor"}),
    needs=frozenset({"choreographer", "pose_extractor"}),
    replay=Replay.always,
)
REDRAWN = Operation(
    name="redrawn",
    makes=Makes.picture,
    parents=("prompt", "noise", "likeness?", "choreography"),
    once=True,
    stores=_PICTURE,
    shown_in="keyframe.png",  # in the first one's place
    follows={**_DRAWN, "control": Setting.pose_control},
    free=frozenset({"part", "generator"}),
    noise="picture",
    loads=_STILL_LORAS | {"base", "vae", "controlnet"},
    needs=frozenset({"unet", "vae"}),
    needs_of=(Need.controlnets,),
    replay=Replay.always,
)
EMBEDDING = Operation(
    name="image_embedding",
    makes=Makes.embedding,
    parents=("keyframe|selection|redrawn",),
    once=True,
    stores={"tokens": ("<f4", 2), "negative_tokens": ("<f4", 2)},
    follows={"size": Setting.frame_size, "scale": Setting.identity_scale},
    count=Count.embeddings,
    loads=frozenset({"image_encoder", "ip_adapter"}),
    needs=frozenset({"image_encoder", "ip_adapter"}),
    replay=Replay.always,
)
DRAFT = Operation(
    name="draft",
    makes=Makes.segment,
    parents=("prompt", "noise", "keyframe|selection?", "image_embedding?", "draft?", "draft?"),
    draws=True,
    stores=_LATENTS,
    follows={**_MOVING, "speed": Setting.draft_speed, "*": Setting.accents},
    free=frozenset({"span", "generator"}),
    noise="frames",
    place="span",
    count=Count.drafted,
    spans=Spans.draft,
    superseded=True,
    loads=_MOVING_LORAS | {"base", "motion", "ip_adapter"},
    needs=frozenset({"motion"}),
    needs_of=_SEGMENT_NEEDS,
)
DRAFT_MAPS = Operation(
    name="draft_maps",
    makes=Makes.frame_maps,
    parents=("draft",),
    stores={**_MAPS, "pose?": ("<f4", 3)},  # joints of every frame, and grey maps
    caption="of the draft",
    follows=_READ,
    free=frozenset({"segment"}),
    place="segment",
    count=Count.drafted,
    superseded=True,
    loads=frozenset({"base", "vae", "extractor"}),
    needs=frozenset({"vae"}),
    needs_of=(Need.extractors,),
    replay=Replay.always,
)
JOIN_MAPS = Operation(
    name="join_maps",
    makes=Makes.maps,
    parents=("motion",),
    stores=_MAPS,
    caption="at a join",
    follows=_READ,
    free=frozenset({"segment"}),
    place="segment",
    count=Count.joins,
    loads=frozenset({"base", "vae", "extractor"}),
    needs=frozenset({"vae"}),
    needs_of=(Need.extractors,),
    replay=Replay.always,
)
MOTION = Operation(
    name="motion",
    makes=Makes.segment,
    parents=(
        *(
            "prompt",
            "noise",
            "keyframe|selection|redrawn?",
            "image_embedding?",
            "choreography?",
            "control?",
            "draft_maps?",
            "join_maps?",
        ),
        *("motion?", "motion?"),
    ),
    draws=True,
    stores=_LATENTS,
    follows={**_MOVING, "*": Setting.accents},
    free=frozenset({"span", "generator", "control?"}),
    noise="frames",
    place="span",
    spans=Spans.clip,
    rerolled=True,
    loads=_MOVING_LORAS | {"base", "motion", "controlnet", "ip_adapter"},
    needs=frozenset({"motion"}),
    needs_of=_SEGMENT_NEEDS,
)
HIRES = Operation(
    name="hires",
    makes=Makes.segment,
    parents=("prompt", "noise", "image_embedding?", "motion", "hires?", "hires?"),
    stores=_LATENTS,
    follows={**_MOVING, "size": Setting.larger_size, "hires": "finish.hires"},
    free=frozenset({"span", "generator"}),
    noise="hires",
    place="span",
    spans=Spans.second_pass,
    loads=_MOVING_LORAS | {"base", "motion", "ip_adapter"},
    needs=frozenset({"motion"}),
    needs_of=_SEGMENT_NEEDS,
)
FINISH = Operation(
    name="finish",
    makes=Makes.frames,
    parents=("motion|hires+",),
    once=True,
    follows={
        "finish": "finish",
        "seconds": "shot.seconds",
        "fps": "shot.fps",
        "loop": "motion.loop",
        "timeline": "timeline",
        "*": Setting.accents,
    },
    loads=frozenset({"base", "vae", "interpolator", "upscaler", "enlarger"}),
    needs=frozenset({"vae"}),
    needs_of=(Need.finishing,),
    replay=Replay.segments,
)
ENCODE = Operation(
    name="encode",
    makes=Makes.video,
    parents=("finish+",),
    result_of="video",
    follows={
        "encode": "encode",
        "fps": "finish.fps",
        "size": Setting.delivered_size,
        "*": Setting.sound,
    },
    replay=Replay.verified,
)
SHEET = Operation(
    name="sheet",
    makes=Makes.file,
    parents=("finish+",),
    result_of="video",
    follows={"fps": "finish.fps", "frames": Setting.sheet_frames},
    replay=Replay.verified,
)
STILL = Operation(
    name="still",
    makes=Makes.file,
    parents=("keyframe",),
    in_stills=True,
    result_of="stills",
    follows={"finish": "finish"},
    loads=frozenset({"enlarger"}),
    needs_of=(Need.finishing,),
)

OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        *(PROMPT, NOISE, IDENTITY, KEYFRAME, SELECTION, CONTROL, CHOREOGRAPHY, REDRAWN),
        *(EMBEDDING, DRAFT, DRAFT_MAPS, JOIN_MAPS),
        *(MOTION, HIRES, FINISH, ENCODE, SHEET, STILL),
    )
}
# A run has a node of at least one of them: where it ran is told there.
ALWAYS_RUN = (KEYFRAME.name, MOTION.name)

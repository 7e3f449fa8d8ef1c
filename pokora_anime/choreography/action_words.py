"""The words that the choreographer knows: actions in tags and plain English, and how they are done."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from pokora_anime.choreography.actions import NAMES
from pokora_anime.nano.world.vocabulary import (
    ATTRIBUTES,
    CONNECTORS,
    FILLER,
    PLACE_PHRASES,
    QUALITY,
    SUBJECTS,
    SYNONYMS,
)

MOST_WORDS = 64
PHRASES: Mapping[str, tuple[str, ...]] = {
    "standing": ("standing", "standing still", "stands", "idle", "waiting", "breathing", "posing"),
    "waving": (
        "waving",
        "wave",
        "waves",
        "waving hand",
        "waves her hand",
        "waving hello",
        "greeting",
        "waving goodbye",
    ),
    "arms up": (
        "arms up",
        "raised arms",
        "hands up",
        "raises her arms",
        "holding both arms up",
        "arms raised",
        "lifts her arms",
    ),
    "walking": ("walking", "walk", "walks", "strolling", "strolls", "takes a walk", "marching"),
    "jumping": (
        "jumping",
        "jump",
        "jumps",
        "jumps up and down",
        "leaping",
        "leaps",
        "hopping",
        "hops",
        "bouncing",
    ),
    "dancing": (
        "dancing",
        "dance",
        "dances",
        "dances to music",
        "idol dance",
        "swaying",
        "sways",
        "moves to the beat",
    ),
    "club dance": (
        "club dance",
        "club dancing",
        "disco",
        "disco dance",
        "hip hop",
        "hip hop dance",
        "breakdance",
        "grooving",
        "party dance",
    ),
    "ballet": (
        "ballet",
        "ballet dance",
        "ballet dancing",
        "ballerina",
        "dances ballet",
        "waltz",
        "waltzing",
        "pirouette",
    ),
    "running": ("running", "run", "runs", "sprinting", "sprints", "jogging", "jogs", "dashing", "rushing"),
    "spinning": (
        "spinning",
        "spin",
        "spins",
        "twirling",
        "twirls",
        "spinning around",
        "rotating",
        "whirling",
    ),
    "turning to the side": (
        "turning to the side",
        "turns to the side",
        "from side",
        "profile",
        "side view",
        "turns sideways",
        "turning sideways",
    ),
    "turning back": (
        "turning around",
        "turns around",
        "from behind",
        "turns her back",
        "turning back",
        "facing away",
        "back view",
    ),
    "bowing": (
        "bowing",
        "bow",
        "bows",
        "bowing politely",
        "takes a bow",
        "curtsy",
        "curtsying",
        "bows deeply",
    ),
    "kneeling": ("kneeling", "kneel", "kneels", "on one knee", "kneels down", "on her knees"),
    "sitting": ("sitting", "sit", "sits", "sits down", "sitting down", "seated", "seiza"),
    "crouching": ("crouching", "crouch", "crouches", "squatting", "squats", "ducking"),
    "kicking": ("kicking", "kick", "kicks", "high kick", "martial arts", "karate", "kicks the air"),
    "clapping": ("clapping", "clap", "claps", "claps her hands", "clapping hands", "applauding", "applause"),
    "cheering": (
        "cheering",
        "cheer",
        "cheers",
        "celebrating",
        "celebrates",
        "rejoicing",
        "victory",
        "fist pump",
    ),
    "pointing": (
        "pointing",
        "point",
        "points",
        "pointing finger",
        "points to the side",
        "pointing at something",
    ),
    "reaching out": (
        "reaching out",
        "reaching",
        "reaches out",
        "outstretched hand",
        "reaches for you",
        "outstretched arm",
        "extends her hand",
        "offering hand",
    ),
    "stretching": (
        "stretching",
        "stretch",
        "stretches",
        "stretches her arms",
        "yawning",
        "stretching herself",
    ),
    "touching hair": (
        "touching hair",
        "hand in own hair",
        "touches her hair",
        "playing with own hair",
        "brushing hair",
        "plays with her hair",
        "adjusting hair",
        "combing hair",
        "tucking hair",
    ),
    "hands on hips": ("hands on hips", "hands on her hips", "hand on hip", "arms akimbo"),
    "nodding": ("nodding", "nod", "nods", "nods her head", "nodding head", "agreeing"),
    "shaking head": ("shaking head", "shakes her head", "headshake", "disagreeing", "shaking her head"),
    "looking around": (
        "looking around",
        "looks around",
        "glancing around",
        "looking left and right",
        "searching",
        "glances",
    ),
}
# How quickly and how largely: factors of tempo and of size.
ADVERBS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("slowly", "slow", "leisurely", "lazily", "slow motion"), (0.6, 0.95)),
    **dict.fromkeys(("quickly", "fast", "quick", "rapidly", "hurriedly", "swiftly"), (1.5, 1.05)),
    **dict.fromkeys(
        ("gently", "softly", "calmly", "gentle", "elegantly", "gracefully", "shyly"), (0.78, 0.7)
    ),
    **dict.fromkeys(("wildly", "wild", "excitedly", "energetically", "energetic", "crazily"), (1.35, 1.4)),
    **dict.fromkeys(("motionless", "still", "frozen", "holding still", "holds the pose"), (0.6, 0.3)),
}


def forms() -> tuple[str, ...]:
    """Every phrase for an action or for how it is done."""
    return (*ADVERBS, *(phrase for phrases in PHRASES.values() for phrase in phrases))


# Words of other things that hold words of an action.
_LURES = (
    "looking at viewer",
    "long hair",
    "hand",
    "arms",
    "hands",
    "head",
    "back",
    "side",
    "night sky",
    "hair bow",
    "red bow",
    "beautiful hair",
    "hair ornament",
    "upper body",
    "full body",
    "dance hall",
    "street",
    "knees",
    "turtleneck",
    "hips",
    "at sunset",
    "looking up",
    "hair ribbon",
    "school",
    "music",
    "smiling",
    "white shirt",
)
_SPLIT = re.compile(r"[a-z]+")
_TAGS = re.compile(r"<[^>]*>")


def split(text: str) -> list[str]:
    """The words of a prompt, its LoRA tags, weights and marks left out."""
    return _SPLIT.findall(_TAGS.sub(" ", text.lower()))[:MOST_WORDS]


def place_of(action: str, text: str) -> int:
    """Where a prompt names an action, in words; past its end where it is told otherwise."""
    words = f" {' '.join(split(text))} "
    places = [words.find(f" {' '.join(split(phrase))} ") for phrase in PHRASES[action]]
    return min((words[:place].count(" ") for place in places if place >= 0), default=MOST_WORDS)


def known_words() -> tuple[str, ...]:
    """Every word of the vocabulary, sorted."""
    texts = [*CONNECTORS, *FILLER, *QUALITY, *SUBJECTS, *_LURES, *ADVERBS]
    for group in (PHRASES, ATTRIBUTES, PLACE_PHRASES, *SYNONYMS.values()):
        texts += [text for values in group.values() for text in values]
    return tuple(sorted({word for text in texts for word in split(text)}))


def sample(rng: np.random.Generator) -> tuple[str, tuple[str, ...], float, float]:
    """A prompt as people write them, its actions in their order, and the factors of tempo and size."""

    def one(values: tuple[str, ...]) -> str:
        return values[int(rng.integers(len(values)))]

    count = int(rng.choice(4, p=(0.15, 0.55, 0.25, 0.05)))
    actions = tuple(one(NAMES) for _ in range(count))
    tempo = size = 1.0
    phrases: list[str] = []
    for index, action in enumerate(actions):
        phrase = one(PHRASES[action])
        if index == 0 and rng.random() < 0.45:
            adverb = one(tuple(ADVERBS))
            tempo, size = ADVERBS[adverb]
            phrase = f"{phrase} {adverb}" if rng.random() < 0.7 else f"{adverb} {phrase}"
        phrases.append(phrase)
    beside = [
        *(one(ATTRIBUTES["hair_color"]) + " hair" for _ in range(rng.random() < 0.6)),
        *(one(ATTRIBUTES["eye_color"]) + " eyes" for _ in range(rng.random() < 0.4)),
        *(one(ATTRIBUTES["outfit"]) for _ in range(rng.random() < 0.6)),
        *(one(ATTRIBUTES["background"]) for _ in range(rng.random() < 0.6)),
        *(one(_LURES) for _ in range(int(rng.integers(3)))),
        *(one(QUALITY) for _ in range(int(rng.integers(3)))),
        *(one(FILLER) for _ in range(int(rng.integers(4)))),
    ]
    if rng.random() < 0.5:
        words = [*beside, *phrases]
        order: list[int] = rng.permutation(len(words)).tolist()
        words = [words[i] for i in order]
        actions = tuple(actions[i - len(beside)] for i in order if i >= len(beside))
        return ", ".join(words), actions, tempo, size
    looks = " with " + " and ".join(beside[:3]) if beside else ""
    place = f" {one(PLACE_PHRASES[one(tuple(PLACE_PHRASES))])}" if rng.random() < 0.5 else ""
    return f"{one(SUBJECTS)}{looks} is {' and '.join(phrases)}{place}", actions, tempo, size

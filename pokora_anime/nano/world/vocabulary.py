"""The attributes of the drawn world and the words for them."""

from __future__ import annotations

import re

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "hair_color": ("black", "brown", "blonde", "blue", "pink", "green", "silver", "red", "purple"),
    "hair_style": ("short hair", "long hair", "twintails", "ponytail"),
    "eye_color": ("blue", "red", "green", "purple", "gold", "brown"),
    "expression": ("smile", "open mouth", "closed eyes"),
    "outfit": ("school uniform", "dress", "hoodie", "kimono"),
    "outfit_color": ("white", "red", "blue", "pink", "green", "yellow", "black", "purple"),
    "action": ("standing", "waving", "arms up", "walking", "jumping", "dancing"),
    "background": (
        "blue sky",
        "night sky",
        "sunset",
        "cherry blossoms",
        "forest",
        "city",
        "beach",
    ),
    "shot": ("upper body", "full body"),
    "camera": ("static", "pan left", "pan right", "zoom in", "zoom out"),
    "style": ("plain", "pastel", "flat color"),
}

# Words that stand for a value of an attribute, the canonical one not repeated.
SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
    "hair_color": {
        "black": ("dark",),
        "brown": ("brunette",),
        "blonde": ("blond", "golden"),
        "silver": ("grey", "gray", "white"),
        "red": ("ginger",),
        "purple": ("violet",),
    },
    "eye_color": {"gold": ("golden", "yellow"), "purple": ("violet",)},
    "outfit_color": {"purple": ("violet",)},
    "outfit": {
        "school uniform": ("sailor uniform", "serafuku", "uniform"),
        "hoodie": ("hooded sweater",),
        "kimono": ("yukata",),
    },
    "hair_style": {"twintails": ("twin tails", "pigtails"), "ponytail": ("pony tail",)},
    "expression": {
        "smile": ("smiling", "happy"),
        "open mouth": ("laughing", "mouth open"),
        "closed eyes": ("eyes closed",),
    },
    "action": {
        "standing": ("standing still", "idle"),
        "waving": ("waving hand", "wave"),
        "arms up": ("raised arms", "hands up"),
        "walking": ("walk",),
        "jumping": ("jump",),
        "dancing": ("dance",),
    },
    "background": {
        "blue sky": ("sky, clouds", "daytime sky"),
        "night sky": ("starry sky", "night, stars"),
        "sunset": ("evening sky", "sunset sky"),
        "cherry blossoms": ("sakura", "cherry trees"),
        "forest": ("woods", "trees, nature"),
        "city": ("street", "cityscape"),
        "beach": ("ocean, beach", "seaside"),
    },
    "shot": {"upper body": ("portrait", "bust shot"), "full body": ("full body shot",)},
    "camera": {
        "static": ("static camera", "still camera"),
        "pan left": ("camera pans left",),
        "pan right": ("camera pans right",),
        "zoom in": ("camera zooms in",),
        "zoom out": ("camera zooms out",),
    },
    "style": {
        "plain": ("anime style",),
        "pastel": ("pastel colors", "soft pastel"),
        "flat color": ("flat colors", "flat style"),
    },
}

HAIR_PHRASES: dict[str, tuple[str, ...]] = {
    "short hair": ("with short {} hair", "with {} hair cut short"),
    "long hair": ("with long {} hair",),
    "twintails": ("with {} twintails", "with {} hair in twintails", "with {} pigtails"),
    "ponytail": ("with a {} ponytail", "with {} hair in a ponytail"),
}

ACTION_PHRASES: dict[str, tuple[str, ...]] = {
    "standing": ("is standing", "stands still"),
    "waving": ("is waving", "waves her hand", "is waving hello"),
    "arms up": ("raises her arms", "has her arms up", "is holding both arms up"),
    "walking": ("is walking", "walks"),
    "jumping": ("is jumping", "jumps", "jumps up and down"),
    "dancing": ("is dancing", "dances"),
}

PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "blue sky": ("under a blue sky", "under the blue sky with clouds"),
    "night sky": ("under a starry night sky", "at night", "under the stars"),
    "sunset": ("at sunset", "in front of a sunset"),
    "cherry blossoms": ("under cherry blossoms", "among cherry trees", "in a sakura garden"),
    "forest": ("in a forest", "in the woods"),
    "city": ("in a city", "on a city street"),
    "beach": ("at the beach", "on the beach by the sea"),
}

EXPRESSION_PHRASES: dict[str, tuple[str, ...]] = {
    "smile": ("smiling", "with a smile"),
    "open mouth": ("with an open mouth", "laughing"),
    "closed eyes": ("with closed eyes", "with her eyes closed"),
}

SHOT_PHRASES: dict[str, tuple[str, ...]] = {
    "upper body": ("upper body shot", "seen from the waist up"),
    "full body": ("full body shot", "seen from head to feet"),
}

CAMERA_PHRASES: dict[str, tuple[str, ...]] = {
    "static": ("static camera", "the camera is still"),
    "pan left": ("the camera pans left", "slow pan left"),
    "pan right": ("the camera pans right", "slow pan right"),
    "zoom in": ("the camera zooms in", "slow zoom in"),
    "zoom out": ("the camera zooms out", "slow zoom out"),
}

STYLE_PHRASES: dict[str, tuple[str, ...]] = {
    "plain": ("anime style", "cel shading"),
    "pastel": ("in pastel colors", "pastel style"),
    "flat color": ("in flat color style", "flat colors"),
}

SUBJECTS: tuple[str, ...] = (
    "a girl",
    "an anime girl",
    "a cute girl",
    "a young woman",
    "one girl",
    "the girl",
)

QUALITY: tuple[str, ...] = (
    "masterpiece",
    "best quality",
    "anime",
    "clean cel-shading",
    "detailed eyes",
    "vivid colors",
    "high quality",
    "absurdres",
    "highres",
    "very aesthetic",
    "clean lineart",
    "beautiful",
    "solo",
    "looking at viewer",
)

FILLER: tuple[str, ...] = tuple(
    """teapot quantum table window river pencil engine bottle carpet orange lemon bridge castle robot
    dragon wizard knight piano guitar violin drum market coffee bread cheese apple banana garden
    flower rose tulip lily butterfly bird cat dog rabbit fox wolf horse tiger lion elephant whale
    shark island mountain valley desert storm rain snow ice fire smoke shadow light mirror clock
    letter paper book library school museum temple church tower palace village harbor ship boat
    train car bicycle rocket planet galaxy comet crystal diamond copper iron steel
    glass wooden ancient modern future retro cyber steam magic mystery dream memory wonder silence
    music melody rhythm story legend hero queen king prince princess soldier doctor teacher artist
    painter chef farmer sailor pirate ninja samurai ghost angel demon fairy mermaid giant puppet
    doll toy balloon lantern umbrella ribbon hat glasses necklace sword shield bow arrow camera
    computer phone radio television sofa chair lamp candle cake cookie candy soup rice noodle tea
    winter summer spring autumn morning evening midnight holiday festival birthday wedding journey
    cinematic dramatic epic intricate sharp bokeh volumetric ultra realistic sketch watercolor""".split()
)

CONNECTORS: tuple[str, ...] = (
    "1girl",
    "solo",
    "a",
    "an",
    "the",
    "with",
    "and",
    "in",
    "eyes",
    "hair",
    "wearing",
    "clothes",
    "outfit",
    "colored",
    "no",
    "of",
    "is",
    "her",
    "she",
    "background",
    "photo",
    "picture",
    "drawing",
    "style",
)


def words() -> tuple[str, ...]:
    """Every word a caption can contain, random letter strings aside, sorted."""
    phrases: list[str] = [*QUALITY, *FILLER, *CONNECTORS, *SUBJECTS]
    for values in ATTRIBUTES.values():
        phrases.extend(values)
    for synonyms in SYNONYMS.values():
        for forms in synonyms.values():
            phrases.extend(forms)
    for table in (
        HAIR_PHRASES,
        ACTION_PHRASES,
        PLACE_PHRASES,
        EXPRESSION_PHRASES,
        SHOT_PHRASES,
        CAMERA_PHRASES,
        STYLE_PHRASES,
    ):
        for forms in table.values():
            phrases.extend(forms)
    return tuple(sorted({word for phrase in phrases for word in re.findall(r"[a-z0-9-]+", phrase)}))

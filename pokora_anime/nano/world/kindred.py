"""Words that the drawn world does not know, and the nearest that it draws."""

from __future__ import annotations

# What it draws -> what people ask for in its place.
NEAREST: dict[str, str] = {
    "1girl": "boy boys girls 1boy 2girls 2boys man men woman women child children person people kid lady guy "
    "prince princess queen king knight wizard witch mage soldier samurai ninja maid elf angel demon vampire "
    "hero heroine idol singer student teacher robot android mermaid fairy warrior",
    "red hair": "orange hair",
    "blonde hair": "yellow hair",
    "blue hair": "cyan hair, aqua hair, teal hair, turquoise hair",
    "purple hair": "lavender hair, magenta hair, rainbow hair",
    "brown eyes": "black eyes, amber eyes, orange eyes, grey eyes, gray eyes, hazel eyes",
    "purple eyes": "pink eyes",
    "blue eyes": "aqua eyes, cyan eyes, teal eyes, white eyes, silver eyes",
    "twintails": "braid braids braided pigtail bunches drills",
    "ponytail": "bun buns topknot updo",
    "short hair": "bob pixie bald buzzcut",
    "long hair": "wavy curly flowing straight",
    "smile": "grin grinning joy joyful cheerful laughing blush blushing friendly",
    "open mouth": "shouting singing screaming talking surprised shocked yelling speaking",
    "closed eyes": "sleeping asleep sad crying tears wink winking angry calm serious",
    "school uniform": "suit blazer shirt blouse tie seifuku armor armour uniformed",
    "dress": "skirt gown sundress robe swimsuit bikini apron",
    "hoodie": "jacket sweater coat sweatshirt cardigan jeans pants t-shirt tshirt",
    "kimono": "hanfu hanbok cheongsam haori obi",
    "standing": "sitting kneeling lying posing leaning resting reading",
    "waving": "greeting saluting pointing hello goodbye",
    "arms up": "cheering stretching reaching flying floating",
    "walking": "running jogging strolling marching riding driving swimming",
    "jumping": "leaping hopping skipping falling",
    "dancing": "spinning twirling fighting playing dance-like",
    "blue sky": "day daytime sunny clouds cloudy cloud sunlight meadow field snow rain rainy",
    "night sky": "space moon moonlight galaxy planet midnight stars universe cosmos spaceship evening",
    "sunset": "sunrise dawn dusk twilight",
    "cherry blossoms": "flower flowers petals spring blossom blossoms garden park rose roses",
    "forest": "jungle tree wood nature mountain mountains waterfall autumn leaves castle",
    "city": "town buildings building cafe shop road room classroom indoors school neon skyscraper house",
    "beach": "sand waves coast island lake river harbor harbour pool underwater",
    "upper body": "closeup close-up face headshot bust",
    "full body": "legs feet wide-shot",
    "zoom in": "dolly tracking",
    "pastel": "watercolor soft pale",
    "flat color": "vector minimalist cel",
}


def kindred() -> dict[str, str]:
    """What people ask for -> the nearest that is drawn."""
    found: dict[str, str] = {}
    for drawn, said in NEAREST.items():
        for word in said.split(", ") if "," in said or said.endswith((" hair", " eyes")) else said.split():
            found.setdefault(word.strip(), drawn)
    return found

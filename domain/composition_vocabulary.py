"""The words that a prompt may use and what they ask for. Patterns match whole words, case-folded.

English first; the commonest German, Spanish, French, Italian, Portuguese and Russian words beside it. A word
that is not here still counts: it goes into the hash that decides whatever is left open.
"""

from __future__ import annotations

# style → words. Earlier rows win a tie, so that "lo-fi hip hop" is lo-fi and "jazzy house" is house.
STYLE_WORDS: dict[str, str] = {
    "lofi": r"lo-?\s?fi|chill\s?hop|study beats?|лоу-?фай|лофай",
    "dnb": r"d'?n'?b|drum\s?(?:and|&|n|'n')\s?bass|jungle|liquid funk|neurofunk|breakbeat|драм.?н.?бейс",
    "synthwave": r"synth-?\s?wave|retro-?\s?wave|outrun|vaporwave|80s|eighties|darkwave|синтвейв|synth-?pop",
    "chiptune": r"chip-?\s?tune|8-?\s?bit|16-?bit|video ?game|arcade|чиптюн",
    "techno": r"techno|industrial|acid|rave|minimal|hardstyle|ebm|техно|dubstep",
    "trance": r"trance|eurodance|hands up|транс|edm|big room",
    "house": r"(?:deep |tech |progressive )?house|garage|dance|club|clubbing|хаус|танцевальн\w*",
    "trap": r"trap|drill|phonk|808s?|трэп|фонк",
    "hiphop": r"hip-?\s?hop|boom-?\s?bap|rap|r'?n'?b beat|beats|хип-?хоп|рэп|trip-?hop",
    "metal": r"metal|djent|thrash|hardcore|doom|метал\w*",
    "bossa": r"bossa(?: nova)?|samba|latin|salsa|brasil\w*|brazil\w*|босса\w*",
    "jazz": r"jazz\w*|swing|be-?bop|big band|dixieland|ragtime|джаз\w*",
    "blues": r"blues|блюз\w*",
    "funk": r"funk\w*|фанк",
    "disco": r"disco|nu-?disco|диско",
    "reggae": r"reggae|dub|ska|dancehall|regga?eton|рэгги|регги",
    "soul": r"soul|r\s?&\s?b|rnb|neo-?soul|motown|gospel|соул",
    "country": r"country|bluegrass|americana|western|кантри",
    "folk": r"folk\w*|acoustic|singer-?songwriter|campfire|celtic|irish|ukulele|"
    r"фолк|акустик\w*|akustisch\w*|acústic\w*",
    "rock": r"rock|punk|grunge|indie|garage rock|hard rock|рок|панк",
    "ambient": r"ambient\w*|drone|meditati\w*|sleep|spa|soundscape|new age|space|эмбиент|медитац\w*|yoga|schlaf\w*",
    "cinematic": r"cinematic|epic|trailer|film score|movie|soundtrack|orchestral|кино\w*|эпич\w*|episch\w*|épico",
    "classical": r"classical|baroque|symphon\w*|chamber|string quartet|mozart|bach|waltz|valse|walzer|orchestra|"
    r"классич\w*|симфон\w*|вальс|klassi\w*|clásic\w*",
    "piano": r"(?:solo )?piano(?: solo)?|nocturne|sonata|neoclassical|фортепиано|пианино|klavier",
    "pop": r"(?:[jk]-?)?pop|radio|catchy|hit|поп",
}

# mood word → (valence −1…1, energy −1…1, darkness −1…1, space −1…1)
MOOD_WORDS: dict[str, tuple[float, float, float, float]] = {
    r"happy|joy\w*|cheerful|fun|funny|playful|glad|sunny|bright|весел\w*|весёл\w*|радост\w*|fröhlich\w*|"
    r"alegre|feliz|heureu\w*|joyeu\w*|allegro|felice": (0.9, 0.4, -0.6, 0.0),
    r"sad\w*|melanchol\w*|cry\w*|tear\w*|grie\w*|lonely|heartbr\w*|sorrow\w*|грус\w*|печал\w*|traurig\w*|"
    r"triste\w*|tristeza|nostalgi\w*": (-0.9, -0.4, 0.3, 0.2),
    r"dark\w*|night|midnight|sinister|evil|haunt\w*|horror|scary|ominous|noir|gloom\w*|т[её]мн\w*|мрачн\w*|"
    r"dunkel\w*|düster\w*|oscur\w*|sombre": (-0.7, 0.0, 1.0, 0.2),
    r"calm\w*|chill\w*|relax\w*|peace\w*|quiet|gentle|soft\w*|soothing|mellow|tranquil|lullaby|спокой\w*|"
    r"нежн\w*|ruhig\w*|tranquil\w*|calme|suave|doux|douce": (0.2, -0.8, -0.1, 0.3),
    r"energetic|energy|power\w*|driving|intense|aggressive|hard|hype|workout|gym|angry|upbeat|wild|энерг\w*|"
    r"мощн\w*|energisch\w*|enérgic\w*|énergique": (0.1, 0.9, 0.2, -0.2),
    r"dream\w*|ethereal|float\w*|spac\w*|cosmic|galaxy|atmospher\w*|reverb\w*|ocean|underwater|мечт\w*|"
    r"космо\w*|traum\w*|sueñ\w*|rêve\w*": (0.1, -0.4, 0.0, 1.0),
    r"epic|heroic|triumph\w*|victor\w*|majestic|glor\w*|эпич\w*|геро\w*": (0.3, 0.7, 0.2, 0.7),
    r"romantic|love|tender|warm|cozy|cosy|sweet|любов\w*|романт\w*|liebe|amor|amour": (0.5, -0.3, -0.1, 0.2),
    r"summer|beach|party|vacation|tropical|morning|spring|лет[оа]|утр\w*|fiesta|sommer|été": (
        0.8,
        0.4,
        -0.7,
        0.0,
    ),
    r"rain\w*|winter|autumn|fog\w*|дожд\w*|зим\w*|осен\w*|regen|lluvia|pluie": (-0.4, -0.4, 0.3, 0.4),
    r"tense|tension|suspense|anxious|thriller|urgent|chase": (-0.5, 0.5, 0.8, 0.0),
    r"hopeful|uplifting|inspir\w*|motivat\w*|optimis\w*|надежд\w*": (0.8, 0.3, -0.4, 0.3),
    r"slow\w*|adagio|largo|lent\w*|ballad|медлен\w*|langsam": (0.0, -0.8, 0.0, 0.2),
    r"fast\w*|quick|presto|up-?tempo|speed\w*|rapid|быстр\w*|schnell": (0.0, 0.9, 0.0, -0.1),
}

# What suits a mood when no word names a style: (valence sign, energy sign) → styles.
STYLES_BY_MOOD: dict[tuple[int, int], tuple[str, ...]] = {
    (1, 1): ("pop", "funk", "house", "disco", "rock"),
    (1, 0): ("pop", "folk", "soul", "bossa"),
    (1, -1): ("folk", "bossa", "lofi", "ambient", "piano"),
    (0, 1): ("synthwave", "house", "rock", "trance"),
    (0, 0): ("lofi", "pop", "synthwave", "folk", "house", "soul"),
    (0, -1): ("ambient", "lofi", "piano"),
    (-1, 1): ("techno", "synthwave", "dnb", "trap"),
    (-1, 0): ("cinematic", "trap", "synthwave", "piano"),
    (-1, -1): ("piano", "ambient", "cinematic", "lofi"),
}

# instrument word → (instrument, layers it may take, best first). Longer names stand before the shorter ones
# they contain.
INSTRUMENT_WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    r"electric piano|rhodes|wurlitzer|e-?piano": ("rhodes", ("chords", "lead")),
    r"felt piano|soft piano|upright piano": ("felt_piano", ("chords", "lead")),
    r"(?:grand )?piano|keys|фортепиано|пианино|klavier": ("piano", ("chords", "lead")),
    r"(?:distorted|heavy|overdriven?) (?:electric )?guitars?|riffs?": ("drive", ("chords", "lead")),
    r"electric guitars?|e-gitarre|электрогитар\w*": ("electric", ("chords", "lead")),
    r"nylon guitar|classical guitar|spanish guitar": ("nylon", ("chords", "lead")),
    r"bass guitar|electric bass": ("finger", ("bass",)),
    r"(?:acoustic )?guitars?|гитар\w*|gitarre|guitarra": ("steel", ("chords", "lead")),
    r"ukulele|banjo|mandolin": ("nylon", ("chords", "lead")),
    r"pizzicato": ("pizzicato", ("chords", "lead")),
    r"strings?|string section|скрипки|streicher|cuerdas": ("strings", ("pads", "chords")),
    r"violin\w*|fiddle|скрипк\w*|geige|violon": ("violin", ("lead",)),
    r"cellos?|виолончел\w*": ("cello", ("lead", "bass")),
    r"upright bass|double bass|contrabass|контрабас": ("upright", ("bass",)),
    r"flutes?|флейт\w*|flöte|flauta": ("flute", ("lead",)),
    r"whistle|pan ?pipes?|recorder": ("whistle", ("lead",)),
    r"clarinet|кларнет": ("clarinet", ("lead",)),
    r"oboe|гобо\w*": ("oboe", ("lead",)),
    r"sax\w*|саксофон\w*": ("sax", ("lead",)),
    r"trumpets?|труб[аы]|trompet\w*": ("trumpet", ("lead",)),
    r"french horns?|horns?": ("horn", ("lead",)),
    r"brass": ("brass", ("lead", "chords")),
    r"harmonica|accordion|аккордеон|akkordeon": ("harmonica", ("lead",)),
    r"organ|hammond|орган|orgel": ("organ", ("chords", "pads")),
    r"harpsichord|clavecin": ("harpsichord", ("chords",)),
    r"harps?|арф\w*|harfe": ("harp", ("chords",)),
    r"choir|voices|хор": ("choir", ("pads", "chords")),
    r"bells?|glockenspiel|celesta|music box|колокол\w*": ("bells", ("lead", "chords")),
    r"marimba|xylophone": ("marimba", ("lead", "chords")),
    r"kalimba|mbira": ("kalimba", ("lead", "chords")),
    r"vibraphone|vibes": ("vibraphone", ("lead", "chords")),
    r"theremin": ("sine_lead", ("lead",)),
    r"arpeggio\w*|arps?|plucks?": ("pluck", ("chords", "lead")),
    r"pads?|пэд\w*": ("warm_pad", ("pads",)),
    r"super-?saw": ("supersaw", ("chords",)),
    r"synth(?: lead|esi[sz]ers?)?|synths|синтезатор\w*": ("saw_lead", ("lead",)),
    r"808s?|sub(?: |-)?bass": ("sub", ("bass",)),
    r"reese": ("reese", ("bass",)),
    r"acid": ("acid", ("bass",)),
}

# What "no …" or "without …" may silence.
PART_WORDS: dict[str, str] = {
    "drums": r"drums?|percussion|beats?|ударных|барабанов|schlagzeug|batería",
    "bass": r"bass|баса",
    "chords": r"chords?|harmony|accompaniment",
    "lead": r"lead|melody|solo|мелодии",
}
NEGATION = r"(?:no|without|minus|без|ohne|sin|sans)"

MODE_WORDS: dict[str, str] = {
    "major": r"major|maj|dur|ionian|мажор\w*|mayor|majeur|maggiore|maior",
    "minor": r"minor|min|moll|aeolian|минор\w*|menor|mineur|minore",
    "dorian": r"dorian",
    "phrygian": r"phrygian",
    "lydian": r"lydian",
    "mixolydian": r"mixolydian",
}
WALTZ = r"3/4|6/8|waltz|walzer|valse|vals|вальс\w*|three[- ]four|triple (?:meter|time)"

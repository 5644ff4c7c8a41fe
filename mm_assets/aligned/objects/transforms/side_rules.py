# pyright: strict
"""What "left" and "right" mean in an English caption, as an ordered table of rules.

A rule looks at the words before and after one occurrence; the first rule that fits decides. Where none fits the word
stays ambiguous: refusing an augmentation costs little, a caption made false costs the pair.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Sense(StrEnum):
    """What a word about sides refers to.

    ``SCENE`` a side as the viewer sees it (the man on the left); ``BODY`` a side of a body or thing by its own frame
    (his left hand, the car's right wheel); ``DIRECTION`` a side in a frame that cannot be told (turns left, the left
    side of the car); ``CHIRAL`` a sense of rotation or another name of a side (clockwise, starboard); ``WRITING``
    writing seen in the picture; ``IDIOM`` no side at all (left behind, right now); ``AMBIGUOUS`` cannot be told.
    """

    SCENE = "scene"
    BODY = "body"
    DIRECTION = "direction"
    CHIRAL = "chiral"
    WRITING = "writing"
    IDIOM = "idiom"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        sense: what the word means where the rule fits.
        before: must match the text that ends where the word starts.
        after: must match the text that starts where the word ends.
        side: the word it is about; None for both.
        contrast: whether the caption must name the other side too, or must not; None if it does not matter.
    """

    sense: Sense
    before: re.Pattern[str]
    after: re.Pattern[str]
    side: str | None = None
    contrast: bool | None = None


_GAP: Final = r"(?:\s+|\s*-\s*)"
_PICTURE: Final = (
    r"(?:image|picture|photo|photograph|frame|scene|screen|shot|view|viewer|painting|drawing|page|illustration|canvas)"
)
_BODY: Final = (
    r"(?:hands?|arms?|elbows?|wrists?|palms?|fists?|fingers?|thumbs?|shoulders?|legs?|feet|foot|knees?|ankles?|toes?|"
    r"thighs?|hips?|heels?|shins?|cal(?:f|ves)|eyes?|eyebrows?|brows?|ears?|cheeks?|nostrils?|temples?|breasts?|"
    r"chest|biceps?|forearms?|buttocks?|"
    r"paws?|hoo(?:f|ves)|wings?|wingtips?|claws?|talons?|tusks?|horns?|antlers?|fins?|flippers?|pincers?|forelegs?|"
    r"lungs?|kidneys?|lobes?|ventricles?|atri(?:um|a)|femurs?|tibias?|fibulas?|humerus|clavicles?|scapulas?|ribs?|"
    r"hemithorax|hemidiaphragm|diaphragm|thorax|hemispheres?|jaws?|maxilla|ovar(?:y|ies)|"
    r"shoes?|boots?|gloves?|mittens?|socks?|sleeves?|skis?|skates?|stirrups?|earrings?|sandals?|slippers?|cuffs?|"
    r"wheels?|tyres?|tires?|headlights?|headlamps?|taillights?|fenders?|mudguards?|pedals?|handlebars?)"
)
_PLACE: Final = (
    r"(?:sides?|edges?|corners?|hal(?:f|ves)|parts?|portions?|thirds?|quarters?|ends?|foreground|background|borders?|"
    r"margins?|sections?|areas?|quadrants?|cent(?:er|re)|top|bottom|panels?|pages?|columns?|walls?|lanes?|banks?|rows?|"
    r"shores?|slopes?|frames?|images?|pictures?|photos?|photographs?|screens?|doors?|windows?|towers?|chairs?|seats?|"
    r"shel(?:f|ves)|burners?|trees?|buildings?|houses?|hills?|peaks?|m[ae]n|wom[ae]n|bo(?:y|ys)|girls?|persons?|"
    r"players?|figures?|dogs?|cats?|horses?|birds?|cows?|sheep|elephants?|giraffes?|zebras?|bears?|cars?|trucks?|"
    r"bus(?:es)?|trains?|planes?|boats?|bicycles?|bikes?|motorcycles?|bottles?|cups?|glass(?:es)?|plates?|bowls?|"
    r"lamps?|monitors?|laptops?|beds?|sofas?|couch(?:es)?|animals?|flowers?|vases?)"
)
_ACT: Final = r"(?:turns?|bends?|curves?|hooks?|jabs?|punch(?:es)?|kicks?|exits?|forks?|profiles?|fields?|wingers?)"
_CORRECT: Final = (
    r"(?:times?|moments?|places?|answers?|choices?|persons?|people|tools?|stuff|things?|tracks?|sizes?|amounts?|kinds?|"
    r"sorts?|types?|fit|mood|mind|ideas?|balance|combinations?|ingredients?|notes?|words?|decisions?|conditions?|"
    r"temperatures?|heights?|lengths?|ways?|attitude|equipment|questions?|numbers?|consistency|fonts?|colou?rs?)"
)
_POLITICS: Final = (
    r"(?:part(?:y|ies)|politic\w*|groups?|protest\w*|activists?|extremis\w*|government|media|newspapers?|rall(?:y|ies)|"
    r"leaders?|voters?|movements?)"
)
_HEIGHT: Final = r"(?:top|bottom|upper|lower|cent(?:er|re)|middle|mid)"
_FAR: Final = r"(?:far|extreme|very|immediate|near|" + _HEIGHT + r"|back|front|rear|hind)"
_OWN: Final = r"(?:own|upper|lower|front|back|rear|hind|fore|far|near|outer|inner|bare|raised|injured|broken)"
_ADJECTIVE: Final = (
    r"(?:upper|lower|front|back|rear|hind|fore|outer|inner|big|little|index|middle|ring|bare|gloved|raised)"
)
_DETERMINER: Final = r"\b(?:the|a|an|this|that|these|those|each|every|one|another|both|two)"
_PRONOUN: Final = r"\b(?:his|her|its|their|my|your|our|whose)"
_POSSESSIVE: Final = (
    rf"(?:{_PRONOUN}|(?<!\bit)(?<!\bhe)(?<!\bshe)(?<!\bthat)"
    r"(?<!\bwhat)(?<!\bwho)(?<!\bthere)(?<!\bhere)(?<=\w)'s|(?<=\ws)')"
)
_FUNCTION: Final = (
    r"(?:to|can|could|will|would|of|is|was|are|were|shall|may|or|that|the|an?|has|have|had|in|on|at|for|with|by|from)\b"
)
_STOP: Final = r"\s*(?:$|[.,;:!?)\]/]|\s-)"
_LINK: Final = r"\s+(?:and|or|but|while|as|with|who|that|which|is|are|was|were|has|have|where|when)\b"
_SURE: Final = (  # after "right": exactly, immediately
    r"(?:now|away|here|there|next|behind|beside|beneath|underneath|above|below|past|through|across|against|before|after|"
    r"up|down|out|off|over|under|near|between|inside|outside|around|alongside|into|onto)"
)
_AT: Final = r"(?:on|in|at|by|for|with|under|outside|inside|near|next|to|from|over|beside|against|after|until)"
_GAZE: Final = r"(?:look|star|gaz|glanc|peer|smil)(?:e|es|ed|s|ing)?"
_VEER: Final = r"(?:turn|veer|swerv|merg|bank|steer|curv|bend)(?:e|es|ed|s|ing)?"
_MOVE: Final = (
    r"(?:fac|look|point|head|lean|glanc|gaz|tilt|mov|driv|walk|run|runn|fl|sail|swim|swimm|march|travel|go|keep|bear|"
    r"kick|throw|swing|swip|scroll|aim|roll|rid|pan)(?:e|es|ed|s|ing|y|ies|ying)?"
)
_ADVERB: Final = r"(?:\s+(?:slightly|sharply|sharp|hard|straight|toward|towards))?\s+"
_CHOOSE: Final = r"(?:choos\w*|pick\w*|find\w*|need\w*|select\w*|catch\w*|(?:wait|look|search)\w*\s+for)"
_REMAINS: Final = r"\b(?:what|all|nothing|little|much|none|anything|everything|that|not much)"
_COUNT: Final = r"\b(?:(?:no|any|some|every)(?:thing|one)|only|no|any|little|much|few)"


def _rule(sense: Sense, before: str, after: str, side: str | None = None, *, contrast: bool | None = None) -> Rule:
    return Rule(
        sense,
        re.compile(rf"(?:{before})$", re.IGNORECASE),
        re.compile(after, re.IGNORECASE),
        side,
        contrast,
    )


_ANY: Final = r""
_THE: Final = rf"(?:the\s+)?(?:{_FAR}[\s-]+)*"

RULES: Final[tuple[Rule, ...]] = (
    # Fixed phrases that name no side.
    _rule(Sense.IDIOM, _ANY, rf"{_GAP}(?:angle[ds]?|angled|triangles?|whales?|of{_GAP}way)\b", "right"),
    _rule(Sense.IDIOM, _ANY, rf"{_GAP}click\w*"),
    _rule(Sense.IDIOM, _ANY, rf"{_GAP}(?:side|way){_GAP}up\b", "right"),
    _rule(Sense.IDIOM, _ANY, rf"{_GAP}hand{_GAP}(?:man|woman)\b", "right"),
    _rule(Sense.IDIOM, r"\b(?:the|a|just\s+the)\s+", rf"\s+{_CORRECT}\b", "right"),
    _rule(Sense.IDIOM, r"\btwo\s+", r"\s+feet\b", "left"),
    _rule(Sense.IDIOM, r"\bout\s+of\s+", r"\s+field\b", "left"),
    _rule(Sense.IDIOM, _ANY, r"\s+luggage\b", "left"),
    _rule(Sense.IDIOM, _ANY, rf"{_GAP}wing(?:{_GAP}|\s+\w+\s+){_POLITICS}\b"),
    _rule(Sense.IDIOM, rf"\bfar{_GAP}", rf"{_GAP}{_POLITICS}\b"),
    _rule(Sense.IDIOM, _ANY, r",?\s+right,?\s+(?:and|&)\s+cent(?:er|re)\b", "left"),
    _rule(Sense.IDIOM, r"\bleft,?\s+", r",?\s+(?:and|&)\s+cent(?:er|re)\b", "right"),
    _rule(Sense.IDIOM, r"\b(?:all|quite|that's|that\s+is|serves\s+\w+)[\s-]+", rf"(?:{_STOP}|{_LINK})", "right"),
    _rule(Sense.IDIOM, r"\ball-", _ANY, "right"),
    _rule(Sense.IDIOM, r"\bjust\s+", rf"(?:{_STOP}|\s+for\b)", "right"),
    _rule(Sense.IDIOM, r",\s*", r"\s*\?", "right"),
    _rule(Sense.IDIOM, _ANY, r"\s+(?:and|or|from)\s+wrong\b", "right"),
    _rule(Sense.IDIOM, r"\bwrong\s+(?:and|or|from)\s+", _ANY, "right"),
    _rule(
        Sense.IDIOM,
        r"\b(?:has|have|had|the|a|equal|human|civil)\s+",
        r"\s+to\s+(?:vote|be|know|bear|remain|\w+\s+arms)\b",
        "right",
    ),
    _rule(Sense.AMBIGUOUS, _ANY, r"\s*-\s*lean(?:ing|s)\b"),
    _rule(Sense.AMBIGUOUS, _ANY, r"\s*-\s*wing"),
    _rule(Sense.AMBIGUOUS, r"\b(?:the|a)\s+", r"\s+\w+\s+(?:for|to)\b", "right"),
    _rule(Sense.AMBIGUOUS, rf"\b{_CHOOSE}\s+(?:the|a)\s+", _ANY, "right"),
    _rule(Sense.AMBIGUOUS, _POSSESSIVE + r"\s+", r"\s+(?:the|a|an|his|her|its|their|to)\b"),
    # Signs and arrows.
    _rule(Sense.WRITING, _ANY, r"(?:[\s-]+(?:turn|only|exit|curve|lane|bend|merge|arrow))+\s+(?:signs?|signals?)\b"),
    _rule(Sense.WRITING, r"\b(?:keep|turn|no|bear|merge)\s+", r"\s+(?:signs?|arrows?)\b"),
    # A body's own side.
    _rule(Sense.BODY, _ANY, rf"{_GAP}(?:hand|foot|eye)(?:ed|er)\b"),
    _rule(Sense.SCENE, _ANY, rf"{_GAP}hand{_GAP}(?:{_PLACE}|track|drive)\b"),
    _rule(
        Sense.IDIOM, r"\b(?:he|she|they|we|who|i|it)\s+", r"\s+(?:the|a|an|his|her|its|their|my|our|some)\s+\w+", "left"
    ),
    _rule(Sense.AMBIGUOUS, _ANY, r"\s+to\s+(?!the\b|an?\b|his\b|her\b|its\b|left\b)\w+", "right"),
    _rule(
        Sense.BODY,
        rf"\b(?:to|on|at|from|towards?|over|off)\s+(?:{_PRONOUN}|(?:{_DETERMINER}\s+)?(?:\w+\s+)?\w+(?:'s|s'))\s+(?:{_OWN}\s+)*",
        _ANY,
    ),
    _rule(
        Sense.BODY, rf"{_POSSESSIVE}\s+(?:{_OWN}\s+)*", rf"(?:{_STOP}|\s+(?:and|while|as)\b|{_GAP}(?!{_FUNCTION})\w)"
    ),
    _rule(Sense.BODY, _ANY, rf"{_GAP}(?:{_ADJECTIVE}{_GAP})*{_BODY}\b", "right"),
    _rule(
        Sense.BODY,
        rf"(?:^|[.,;:(]\s*|{_DETERMINER}\s+(?:\w+\s+)?|\b(?:with|and|or|of|in|on|by|from|to|{_FAR}|\w+ing|raises|lifts|holds)[\s-]+)",
        rf"{_GAP}(?:{_ADJECTIVE}{_GAP})*{_BODY}\b",
        "left",
    ),
    _rule(Sense.BODY, r"\bstage[\s-]+", _ANY),
    # What is left of something, as against left of something.
    _rule(Sense.IDIOM, rf"{_REMAINS}(?:'s|\s+(?:is|was|are|were|remains|has\s+been))?\s+", r"\s+of\b", "left"),
    _rule(Sense.AMBIGUOUS, r"\b(?:was|were|one|been)\s+", r"\s+of\b", "left"),
    _rule(Sense.SCENE, r"\b(?:on|to|at|from|in|toward|towards|off)\s+" + _THE, r"\s+of\b"),
    _rule(Sense.SCENE, _ANY, rf"\s+of\s+(?:the\s+|this\s+)?{_PICTURE}\b"),
    _rule(
        Sense.SCENE,
        r"\b(?:is|are|just|directly|immediately|slightly|far|further|parked|placed|positioned|located|\w+ing)\s+",
        r"\s+of\b",
    ),
    _rule(Sense.AMBIGUOUS, r"\b(?:the|a|equal|every|no|own)\s+", r"\s+of\b", "right"),
    _rule(
        Sense.SCENE,
        r"(?:^|[\w,;(]\s*)",
        rf"\s+of\s+(?:the|an?|another|it|him|her|them|this|cent(?:er|re)|{_PICTURE})\b",
    ),
    # Prepositions and heights before it; "to right the boat" is a verb.
    _rule(Sense.AMBIGUOUS, r"\bto\s+", r"\s+(?:the|a|an|it|itself|himself|herself|themselves)\b", "right"),
    _rule(Sense.SCENE, rf"\b(?:at|from|in)\s+(?:the\s+)?(?:{_FAR}[\s-]+)+", _ANY),
    _rule(Sense.SCENE, rf"\b(?:on|to|towards?|off)\s+{_THE}", _ANY),
    _rule(
        Sense.SCENE,
        rf"\b(?:(?:at|from|in|into|onto)\s+{_THE}|(?:along|down|by|near|for|with)\s+the\s+(?:{_FAR}[\s-]+)*)",
        rf"(?:{_STOP}|{_LINK}|\s+(?:{_AT}|of|there|a|an|the|two|another)\b)",
    ),
    _rule(Sense.SCENE, rf"\b{_HEIGHT}[\s-]+(?:far\s+)?", _ANY),
    _rule(Sense.SCENE, r"\b(?:far|screen|camera)[\s-]+", rf"(?:{_STOP}|{_LINK}|\s+of\b|{_GAP}{_PLACE}\b)"),
    _rule(Sense.SCENE, r"\b(?:back|front|rear)[\s-]+", rf"(?:{_STOP}|{_LINK}|{_GAP}{_PLACE}\b)"),
    # The other side beside it.
    _rule(Sense.SCENE, _ANY, rf"{_GAP}to{_GAP}(?:the\s+)?(?:left|right)\b"),
    _rule(Sense.SCENE, rf"\b(?:left|right){_GAP}to{_GAP}(?:the\s+)?", _ANY),
    _rule(Sense.DIRECTION, r"\b(?:left|right)\s*(?:\s(?:and|or)\s|/|&)\s*", _ANY),
    _rule(Sense.DIRECTION, _ANY, r"\s*(?:\s(?:and|or)\s|/|&)\s*(?:the\s+)?(?:left|right)\b"),
    # Motion and gaze.
    _rule(Sense.DIRECTION, rf"\b{_VEER}{_ADVERB}(?:to\s+the\s+)?", _ANY),
    _rule(Sense.IDIOM, rf"\b{_GAZE}\s+", r"\s+(?:at|into)\b", "right"),
    _rule(Sense.DIRECTION, rf"\b{_MOVE}{_ADVERB}", rf"(?:{_STOP}|{_LINK}|\s+towards?\b)"),
    _rule(Sense.DIRECTION, r"\b(?:an?|the|sharp|hard|slight|no|plays?|playing|in|into)\s+", rf"{_GAP}{_ACT}\b"),
    _rule(Sense.DIRECTION, r"\barrows?[\s-]+", _ANY),
    # Parts and things.
    _rule(
        Sense.DIRECTION,
        rf"(?:^|[.,;:(]\s*|{_DETERMINER}\s+(?:\w+\s+)?|\b(?:of|in|and|or|at|from|with|along|\w+ing)\s+)",
        rf"{_GAP}(?:{_HEIGHT}{_GAP})?{_PLACE}\s+of\s+(?!(?:the\s+|this\s+)?{_PICTURE}\b)",
    ),
    _rule(
        Sense.SCENE,
        rf"(?:^|[.,;:(]\s*|{_DETERMINER}\s+(?:\w+\s+)?|\b(?:of|in|and|or|at|from|with|along|\w+ing)\s+)",
        rf"{_GAP}(?:{_HEIGHT}{_GAP})?{_PLACE}\b",
    ),
    _rule(Sense.SCENE, r"(?:^|[.;]\s*)the\s+", r"\s+(?:is|are|shows?|has|have|contains?|depicts?)\b"),
    _rule(Sense.SCENE, r"(?:\bthe\s+)", r"\s+\w+", "left"),
    _rule(Sense.SCENE, r"(?:\bthe\s+)", r"\s+\w+", "right", contrast=True),
    _rule(Sense.SCENE, r"\b(?:pictured|shown|seen)\s+(?:far\s+)?", rf"(?:{_STOP}|{_LINK})"),
    # As newspapers write it: "Smith, left, …", "(right)", "Left: …".
    _rule(Sense.SCENE, r"(?:^|[.;]\s*|[(\[]\s*)(?:far\s+)?", r"\s*[:)\]]"),
    _rule(Sense.SCENE, r",\s*(?:far\s+)?", r"\s*(?:,|;|\.|$)"),
    # "right" that says exactly or at once.
    _rule(Sense.IDIOM, _ANY, rf"\s+{_SURE}\b", "right"),
    _rule(Sense.IDIOM, _ANY, r"\s+in\s+(?:front|the\s+(?:middle|cent(?:er|re)|heart|midst)|time)\b", "right"),
    _rule(Sense.IDIOM, _ANY, r"\s+(?:on\s+(?:top|time|the\s+edge)|at\s+the\s+(?:edge|end|moment)|by\s+the\b)", "right"),
    # "left" that was left by someone.
    _rule(
        Sense.IDIOM,
        r"\b(?:has|have|had|having|been|being|be|just|already|recently|never|gets?|got)\s+",
        rf"(?!\s+of\b|{_GAP}(?:{_ADJECTIVE}{_GAP})*(?:{_BODY}|{_PLACE})\b)",
        "left",
    ),
    _rule(Sense.IDIOM, r"\b(?:was|were)(?:n't)?\s+(?:\w+ly\s+)?", rf"\s+{_AT}\b", "left"),
    _rule(Sense.IDIOM, r"\b(?:is|are)(?:n't)?\s+(?:\w+ly\s+)?", rf"\s+{_AT}\b", "left", contrast=False),
    _rule(
        Sense.IDIOM,
        _ANY,
        _GAP + r"(?:behind|alone|over|out|open|unattended|untouched|unfinished|unmade|empty|abandoned|stranded|unused|"
        r"vacant|home|to\s+(?:dry|cool|rot|rust|die|soak|ripen|melt))\b",
        "left",
    ),
    _rule(Sense.IDIOM, rf"{_COUNT}(?:\s+[\w']+){{0,2}}\s+", rf"(?:{_STOP}|{_LINK}|\s+{_AT}\b)", "left"),
    _rule(Sense.IDIOM, r"\w\s+", r"\s+(?:him|them|me|us|you|in\s+charge)\b", "left"),
    _rule(Sense.IDIOM, r"\w\s+", r"\s+(?:the|a|an|his|her|its|their|my|our|some)\s+\w+", "left", contrast=False),
    # "Cat left, dog right."
    _rule(Sense.SCENE, r"\w\s+", rf"(?:{_STOP}|{_LINK})", contrast=True),
)

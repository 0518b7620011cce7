"""The words and colours of which titles and images are made, in English, Spanish and Portuguese."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word in the three languages of the store."""

    en: str
    es: str
    pt: str


@dataclass(frozen=True)
class Colour(Word):
    """A named colour as red, green and blue, 0 to 255."""

    rgb: tuple[int, int, int]


@dataclass(frozen=True)
class Marketplace:
    """A country's shop."""

    name: str
    language: str
    currency: str
    rate: float
    """Units of the currency in a US dollar."""
    share: float
    """Share of the products whose home it is."""


MARKETPLACES = (
    Marketplace("us", "en", "USD", 1.0, 0.5),
    Marketplace("es", "es", "EUR", 0.92, 0.25),
    Marketplace("br", "pt", "BRL", 5.4, 0.25),
)

# Phrases, not adjectives, in Spanish and Portuguese: they need not agree with the noun's gender.
PATTERNS = (
    Word("Plain", "de color liso", "de cor lisa"),
    Word("Striped", "a rayas", "de listras"),
    Word("Dotted", "de lunares", "de bolinhas"),
    Word("Checked", "a cuadros", "xadrez"),
    Word("Zigzag", "en zigzag", "em zigue-zague"),
    Word("Wavy", "de ondas", "de ondas"),
    Word("Grid", "de rejilla", "de grade"),
    Word("Ringed", "de anillos", "de anéis"),
)
SHAPES = (
    Word("Circle", "círculo", "círculo"),
    Word("Square", "cuadrado", "quadrado"),
    Word("Triangle", "triángulo", "triângulo"),
    Word("Hexagon", "hexágono", "hexágono"),
    Word("Star", "estrella", "estrela"),
    Word("Heart", "corazón", "coração"),
    Word("Diamond", "rombo", "losango"),
    Word("Cross", "cruz", "cruz"),
    Word("Ring", "aro", "aro"),
    Word("Crescent", "luna", "lua"),
    Word("Leaf", "hoja", "folha"),
    Word("Flower", "flor", "flor"),
)
COLOURS = (
    Colour("Red", "rojo", "vermelho", (206, 47, 52)),
    Colour("Blue", "azul", "azul", (44, 108, 196)),
    Colour("Green", "verde", "verde", (52, 143, 74)),
    Colour("Yellow", "amarillo", "amarelo", (232, 190, 38)),
    Colour("Orange", "naranja", "laranja", (233, 124, 38)),
    Colour("Purple", "morado", "roxo", (124, 66, 166)),
    Colour("Pink", "rosa", "rosa", (229, 108, 160)),
    Colour("Brown", "marrón", "marrom", (124, 82, 50)),
    Colour("Grey", "gris", "cinza", (128, 132, 138)),
    Colour("Turquoise", "turquesa", "turquesa", (38, 170, 170)),
    Colour("Black", "negro", "preto", (42, 42, 48)),
    Colour("Navy", "azul marino", "azul-marinho", (32, 48, 104)),
)
# fmt: off
BRANDS = [
    "Acme", "Alba", "Arbol", "Aster", "Bravia", "Brisa", "Calden", "Castor", "Cobalt", "Corva",
    "Delmar", "Dorsal", "Elmo", "Estela", "Falk", "Fenix", "Garda", "Granit", "Halden", "Hestia",
    "Iberis", "Indra", "Jaro", "Kestrel", "Kumo", "Lumen", "Lyra", "Maren", "Mistral", "Norte", "Olmo",
    "Orbix", "Pampa", "Quill", "Rialto", "Sabine", "Tundra", "Ural", "Velar", "Zephyr",
]
MODEL_WORDS = [
    "Alto", "Apex", "Arco", "Argo", "Atlas", "Aura", "Axis", "Bolt", "Boreal", "Cielo", "Cima", "Comet",
    "Coral", "Delta", "Drift", "Echo", "Edge", "Ember", "Faro", "Flux", "Gamma", "Halo", "Helix",
    "Icon", "Ion", "Jade", "Juno", "Kilo", "Kinet", "Lago", "Lince", "Lumo", "Mesa", "Metro", "Mira",
    "Nexo", "Nimbo", "Nova", "Onda", "Onyx", "Optic", "Orion", "Pico", "Pixel", "Prisma", "Pulse",
    "Quanta", "Rayo", "Ritmo", "Sabre", "Sierra", "Solar", "Spark", "Tempo", "Terra", "Titan", "Trino",
    "Vega", "Vela", "Vento", "Vira", "Volt", "Zenit", "Zeta",
]
# fmt: on
# Codes such as X2, in an order that lets a small store have short ones.
MODEL_CODES = [f"{letter}{number}" for number in range(1, 100) for letter in "ABCDEFGHJKLMNPQRSTUVWXYZ"]

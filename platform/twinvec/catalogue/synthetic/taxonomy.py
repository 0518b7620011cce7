"""The category tree and the true associations: the part of the ground truth that all stores share.

A world is a set of types bought for each other: a phone, its cases, its chargers. Types of one world may
stand in different families (a laptop charger is in Electronics > Power), and a family may hold types that
have nothing to do with each other (the chargers of phones and of laptops), so the tree alone does not give
the associations away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# How a product's compatibility shows: by the model it is for, in its title, or by its shape and pattern.
Mode = Literal["model", "style"]


@dataclass(frozen=True)
class ProductType:
    """A leaf of the category tree."""

    en: str
    """Singular noun in English; its plural is the leaf's name."""
    es: str
    """Singular noun in Spanish."""
    pt: str
    """Singular noun in Portuguese (Brazil)."""
    department: str
    family: str
    price: float
    """Typical price in US dollars."""
    styles: int = 1
    """Styles on offer in each model or collection of its world."""

    @property
    def path(self) -> list[str]:
        """Category path from the root to the leaf."""
        return [self.department, self.family, _plural(self.en)]


@dataclass(frozen=True)
class World:
    """Types bought for each other; the first is what the others are bought for."""

    mode: Mode
    types: tuple[ProductType, ...]
    links: tuple[tuple[int, int, float], ...]
    """(base, accessory, strength): positions in `types`, and the share of the base's buyers who add one."""


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


_T = ProductType
# In order of appearance: a small store has the first worlds only.
WORLDS = (
    World(
        "model",
        (
            _T("Smartphone", "Teléfono móvil", "Celular", "Electronics", "Phones", 600),
            _T("Phone Case", "Funda para teléfono", "Capa de celular", "Electronics", "Phones", 20, 2),
            _T(
                "Screen Protector", "Protector de pantalla", "Película protetora", "Electronics", "Phones", 10
            ),
            _T("Phone Charger", "Cargador de teléfono", "Carregador de celular", "Electronics", "Power", 35),
        ),
        ((0, 1, 0.9), (0, 2, 0.75), (0, 3, 0.5)),
    ),
    World(
        "style",
        (
            _T("Tent", "Tienda de campaña", "Barraca", "Outdoor", "Camping", 250),
            _T("Sleeping Bag", "Saco de dormir", "Saco de dormir", "Outdoor", "Camping", 90),
            _T("Camping Mat", "Esterilla", "Isolante térmico", "Outdoor", "Camping", 35),
            _T("Lantern", "Farol", "Lanterna", "Outdoor", "Lighting", 22),
        ),
        ((0, 1, 0.85), (0, 2, 0.7), (0, 3, 0.5), (1, 2, 0.6)),
    ),
    World(
        "style",
        (
            _T("Dress", "Vestido", "Vestido", "Clothing", "Women", 90),
            _T("Handbag", "Bolso", "Bolsa", "Clothing", "Bags", 55),
            _T("Hat", "Sombrero", "Chapéu", "Clothing", "Accessories", 28),
            _T("Belt", "Cinturón", "Cinto", "Clothing", "Accessories", 17),
        ),
        ((0, 1, 0.8), (0, 2, 0.65), (0, 3, 0.55), (1, 3, 0.4)),
    ),
    World(
        "model",
        (
            _T("Coffee Machine", "Cafetera", "Cafeteira", "Home", "Kitchen", 160),
            _T("Capsule Pack", "Paquete de cápsulas", "Pacote de cápsulas", "Home", "Pantry", 12, 2),
            _T("Water Filter", "Filtro de agua", "Filtro de água", "Home", "Kitchen", 18),
            _T("Milk Frother", "Espumador de leche", "Espumador de leite", "Home", "Kitchen", 45),
        ),
        ((0, 1, 0.9), (0, 2, 0.7), (0, 3, 0.45)),
    ),
    World(
        "model",
        (
            _T("Laptop", "Ordenador portátil", "Notebook", "Electronics", "Computers", 900),
            _T("Laptop Sleeve", "Funda para portátil", "Capa de notebook", "Electronics", "Computers", 28, 2),
            _T("Docking Station", "Base de conexión", "Estação de conexão", "Electronics", "Computers", 120),
            _T(
                "Laptop Charger", "Cargador de portátil", "Carregador de notebook", "Electronics", "Power", 45
            ),
        ),
        ((0, 1, 0.85), (0, 2, 0.55), (0, 3, 0.65), (2, 3, 0.4)),
    ),
    World(
        "style",
        (
            _T("Bed Frame", "Cama", "Cama", "Home", "Bedroom", 320),
            _T("Duvet Cover", "Funda nórdica", "Capa de edredom", "Home", "Bedroom", 60),
            _T("Pillowcase", "Funda de almohada", "Fronha", "Home", "Bedroom", 14),
            _T("Throw Blanket", "Manta", "Manta", "Home", "Living Room", 40),
        ),
        ((0, 1, 0.8), (0, 2, 0.65), (0, 3, 0.45), (1, 2, 0.85)),
    ),
    World(
        "model",
        (
            _T("Camera", "Cámara", "Câmera", "Electronics", "Photo", 700),
            _T("Camera Lens", "Objetivo", "Lente", "Electronics", "Photo", 280, 2),
            _T("Camera Bag", "Bolsa para cámara", "Bolsa para câmera", "Electronics", "Photo", 60),
            _T("Camera Battery", "Batería de cámara", "Bateria de câmera", "Electronics", "Power", 35),
        ),
        ((0, 1, 0.7), (0, 2, 0.75), (0, 3, 0.65), (1, 2, 0.3)),
    ),
    World(
        "style",
        (
            _T("Bicycle", "Bicicleta", "Bicicleta", "Outdoor", "Cycling", 520),
            _T("Helmet", "Casco", "Capacete", "Outdoor", "Cycling", 65),
            _T("Cycling Jersey", "Maillot de ciclismo", "Camisa de ciclismo", "Clothing", "Sportswear", 40),
            _T("Water Bottle", "Bidón de agua", "Garrafa de água", "Outdoor", "Cycling", 12),
        ),
        ((0, 1, 0.85), (0, 2, 0.5), (0, 3, 0.7), (2, 3, 0.35)),
    ),
    World(
        "model",
        (
            _T(
                "Game Console", "Consola de videojuegos", "Console de videogame", "Electronics", "Gaming", 450
            ),
            _T("Controller", "Mando", "Controle", "Electronics", "Gaming", 60, 2),
            _T("Gaming Headset", "Auriculares para juegos", "Headset para jogos", "Electronics", "Audio", 95),
            _T("Charging Dock", "Base de carga", "Base de carga", "Electronics", "Power", 25),
        ),
        ((0, 1, 0.9), (0, 2, 0.6), (0, 3, 0.5), (1, 3, 0.45)),
    ),
    World(
        "style",
        (
            _T("Dining Table", "Mesa de comedor", "Mesa de jantar", "Home", "Dining", 420),
            _T("Tablecloth", "Mantel", "Toalha de mesa", "Home", "Dining", 34),
            _T("Plate", "Plato", "Prato", "Home", "Kitchen", 16),
            _T("Bowl", "Cuenco", "Tigela", "Home", "Kitchen", 9),
        ),
        ((0, 1, 0.8), (0, 2, 0.6), (0, 3, 0.5), (2, 3, 0.8)),
    ),
    World(
        "style",
        (
            _T("Suit", "Traje", "Terno", "Clothing", "Men", 260),
            _T("Shirt", "Camisa", "Camisa", "Clothing", "Men", 48),
            _T("Tie", "Corbata", "Gravata", "Clothing", "Accessories", 26),
            _T("Pocket Square", "Pañuelo de bolsillo", "Lenço de bolso", "Clothing", "Accessories", 13),
        ),
        ((0, 1, 0.9), (0, 2, 0.75), (1, 2, 0.6), (0, 3, 0.4), (2, 3, 0.5)),
    ),
    World(
        "model",
        (
            _T("Printer", "Impresora", "Impressora", "Office", "Printing", 70),
            # Dearer than what it is bought for: price alone gets this one link's direction wrong.
            _T("Toner Cartridge", "Cartucho de tóner", "Cartucho de toner", "Office", "Printing", 95, 2),
            _T("Photo Paper Pack", "Paquete de papel", "Pacote de papel", "Office", "Paper", 14),
            _T("Printer Cable", "Cable de impresora", "Cabo de impressora", "Office", "Printing", 8),
        ),
        ((0, 1, 0.9), (0, 2, 0.7), (0, 3, 0.5)),
    ),
    World(
        "model",
        (
            _T("Smartwatch", "Reloj inteligente", "Relógio inteligente", "Electronics", "Wearables", 260),
            _T("Watch Strap", "Correa de reloj", "Pulseira de relógio", "Electronics", "Wearables", 20, 2),
            _T("Watch Case", "Estuche de reloj", "Estojo de relógio", "Electronics", "Wearables", 13),
            _T("Watch Charger", "Cargador de reloj", "Carregador de relógio", "Electronics", "Power", 30),
        ),
        ((0, 1, 0.85), (0, 2, 0.5), (0, 3, 0.7)),
    ),
    World(
        "style",
        (
            _T("Sofa", "Sofá", "Sofá", "Home", "Living Room", 850),
            _T("Rug", "Alfombra", "Tapete", "Home", "Living Room", 130),
            _T("Sofa Cover", "Funda de sofá", "Capa de sofá", "Home", "Living Room", 60),
            _T("Cushion", "Cojín", "Almofada", "Home", "Living Room", 18),
        ),
        ((0, 1, 0.6), (0, 2, 0.55), (0, 3, 0.85), (2, 3, 0.5)),
    ),
)

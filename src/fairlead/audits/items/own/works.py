"""Works by title, with who made them and somebody who did not."""

from dataclasses import dataclass

_LISTED = """
the play Hamlet | William Shakespeare | Christopher Marlowe
the novel Pride and Prejudice | Jane Austen | Charlotte Bronte
the novel Wuthering Heights | Emily Bronte | George Eliot
the novel Middlemarch | George Eliot | Elizabeth Gaskell
the novel Great Expectations | Charles Dickens | Thomas Hardy
the novel Moby-Dick | Herman Melville | Nathaniel Hawthorne
the novel War and Peace | Leo Tolstoy | Fyodor Dostoevsky
the novel Crime and Punishment | Fyodor Dostoevsky | Ivan Turgenev
the novel Don Quixote | Miguel de Cervantes | Lope de Vega
the novel Madame Bovary | Gustave Flaubert | Emile Zola
the novel Les Miserables | Victor Hugo | Honore de Balzac
the play Faust | Johann Wolfgang von Goethe | Friedrich Schiller
the novel Frankenstein | Mary Shelley | Bram Stoker
the novel Dracula | Bram Stoker | Robert Louis Stevenson
the poem The Raven | Edgar Allan Poe | Walt Whitman
the poem Ozymandias | Percy Bysshe Shelley | Lord Byron
the poem Ode to a Nightingale | John Keats | William Wordsworth
the poem The Waste Land | T. S. Eliot | Ezra Pound
the poem The Tyger | William Blake | Samuel Taylor Coleridge
the poem Daffodils | William Wordsworth | John Keats
the poem Kubla Khan | Samuel Taylor Coleridge | William Blake
the epic Paradise Lost | John Milton | John Dryden
the Divine Comedy | Dante Alighieri | Francesco Petrarca
the painting Mona Lisa | Leonardo da Vinci | Sandro Botticelli
the painting The Starry Night | Vincent van Gogh | Paul Gauguin
the painting Guernica | Pablo Picasso | Joan Miro
the opera The Magic Flute | Wolfgang Amadeus Mozart | Joseph Haydn
the opera Carmen | Georges Bizet | Giacomo Puccini
the ballet Swan Lake | Pyotr Tchaikovsky | Sergei Prokofiev
the Moonlight Sonata | Ludwig van Beethoven | Frederic Chopin
the novel Ulysses | James Joyce | Samuel Beckett
the novel Mrs Dalloway | Virginia Woolf | Katherine Mansfield
the play A Doll's House | Henrik Ibsen | August Strindberg
the play Waiting for Godot | Samuel Beckett | Harold Pinter
the novel The Trial | Franz Kafka | Thomas Mann
the novel The Magic Mountain | Thomas Mann | Hermann Hesse
"""


@dataclass(frozen=True)
class Work:
    """A work, its maker, and a wrong one."""

    title: str
    maker: str
    wrong: str


def own_works() -> tuple[Work, ...]:
    """All of them."""
    return tuple(Work(*line.split(" | ")) for line in _LISTED.strip().splitlines())

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.notes import Checkpoint, NoteError, Signer, Verifier, parse, sign, verify

# The published vectors of Go's sumdb/note (package documentation and tests, BSD-3), of which signed-note is the text.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
# The examples of c2sp.org/signed-note and c2sp.org/tlog-checkpoint.
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore "
    "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
# RFC 8032, section 7.1, test 3.
SEED = bytes.fromhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
PUBLIC = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")


def test_the_published_note_is_verified_and_signed_again_byte_for_byte() -> None:
    peter, enoch = Verifier.parse(PETER), Verifier.parse(ENOCH)
    assert verify(TEXT + "\n" + PETER_LINE, [peter]) == (TEXT, [peter])
    assert verify(TEXT + "\n" + PETER_LINE + ENOCH_LINE, [peter, enoch]) == (TEXT, [peter, enoch])
    assert verify(TEXT + "\n" + PETER_LINE + ENOCH_LINE, [enoch]) == (TEXT, [enoch])
    signer = Signer.parse(PETER_SECRET)
    assert signer.verifier == peter
    assert sign(TEXT, [signer]) == TEXT + "\n" + PETER_LINE
    assert (str(peter), str(enoch), signer.secret()) == (PETER, ENOCH, PETER_SECRET)


def test_the_published_examples_are_read_with_their_empty_lines() -> None:
    text, signatures = parse(POEM)
    assert text == POEM[: POEM.index("\n\n—") + 1]
    assert [signature.name for signature in signatures] == ["quasimodo.example/salvatore"]
    text, signatures = parse(SOFA)
    assert Checkpoint.parse(text) == ("example.com/behind-the-sofa", 20852163, base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="))  # fmt: skip # noqa: E501
    assert Checkpoint.parse(text).text() == text
    assert (signatures[0].id.hex(), len(signatures[0].value)) == ("033de0ae", 64)


def test_keys_are_those_of_rfc_8032() -> None:
    signer = Signer("example.org/log", SEED)
    assert signer.verifier.public == PUBLIC
    assert Signer.parse(signer.secret()).verifier == signer.verifier == Verifier.parse(str(signer.verifier))


def test_every_part_of_a_key_matters() -> None:
    for first in range(len(PETER)):
        for last in range(first + 1, len(PETER) + 1):
            if (first, last) != (0, len(PETER)):
                with pytest.raises(NoteError):
                    Verifier.parse(PETER[first:last])
        with pytest.raises(NoteError):
            Verifier.parse(PETER[:first] + chr(ord(PETER[first]) + 1) + PETER[first + 1 :])


@pytest.mark.parametrize("key", [
    "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
    "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "", "+", "++", "a+b", PETER_SECRET,
])  # fmt: skip
def test_a_key_of_the_wrong_length_kind_or_form_is_refused(key: str) -> None:
    with pytest.raises(NoteError):
        Verifier.parse(key)


@pytest.mark.parametrize("key", ["", PETER, PETER_SECRET[:-1], PETER_SECRET.replace("c74f", "c74e"),
                                 PETER_SECRET.replace("Peter", "Petra")])  # fmt: skip
def test_a_wrong_private_key_is_refused_and_never_quoted(key: str) -> None:
    with pytest.raises(NoteError) as caught:
        Signer.parse(key)
    assert "AYEKFALV" not in str(caught.value)


@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_note_with_one_other_byte_is_refused(place: int, flip: int) -> None:
    note = bytearray((TEXT + "\n" + PETER_LINE).encode())
    note[place % len(note)] ^= flip
    try:
        changed = note.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(NoteError):
        verify(changed, [Verifier.parse(PETER)])


def test_a_false_signature_of_a_known_key_spoils_the_note_though_another_is_true() -> None:
    false = base64.b64encode(base64.b64decode(PETER_LINE.split()[-1])[:-1] + b"\0").decode()
    note = TEXT + "\n" + f"— PeterNeumann {false}\n" + ENOCH_LINE
    with pytest.raises(NoteError, match=r"PeterNeumann.* is false"):
        verify(note, [Verifier.parse(PETER), Verifier.parse(ENOCH)])
    assert verify(note, [Verifier.parse(ENOCH)])[0] == TEXT


def test_an_unknown_signature_alone_is_not_enough() -> None:
    with pytest.raises(NoteError, match="not by a key that you trust"):
        verify(TEXT + "\n" + ENOCH_LINE, [Verifier.parse(PETER)])


@pytest.mark.parametrize("note", [
    "", "\n", "text", TEXT, TEXT + "\n", TEXT + PETER_LINE, TEXT + "\n" + PETER_LINE[:-1], TEXT + "\n\n" + "x\n",
    TEXT + "\n" + PETER_LINE.replace("—", "-"), TEXT + "\n" + PETER_LINE + "\n", "a\tb\n\n" + PETER_LINE,
    TEXT + "\n— PeterNeumann x08g\n", TEXT + "\n— PeterNeumann \n", TEXT + "\n— Peter+Neumann x08go/ZJ\n",
    TEXT + "\n" + PETER_LINE * 101,
])  # fmt: skip
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(NoteError):
        verify(note, [Verifier.parse(PETER)])


@pytest.mark.parametrize("text", [
    "log\n5\n", "log\n5\nAAAA\n", "log\n05\n" + "A" * 43 + "=\n", "log\n-1\n" + "A" * 43 + "=\n",
    "log\n5\n" + "A" * 43 + "=\n\n", "\n5\n" + "A" * 43 + "=\n", "log\n5\n" + "A" * 43 + "=",
    "log\n٣\n" + "A" * 43 + "=\n",
    "log\n5\n" + "A" * 42 + "B=\n",
])  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


def test_lines_behind_the_third_of_a_checkpoint_are_passed_over() -> None:
    assert Checkpoint.parse("log\n0\n" + "A" * 43 + "=\nmore\n") == ("log", 0, bytes(32))


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\nbreak", "no-break\u00a0space"])
def test_names_that_a_note_cannot_carry_are_refused(name: str) -> None:
    with pytest.raises(NoteError, match="cannot name a key"):
        Signer(name, SEED)


def test_only_a_text_that_ends_its_line_is_signed() -> None:
    for text in ("", "no end", "bell\a\n"):
        with pytest.raises(NoteError):
            sign(text, [Signer("log", SEED)])

"""The files that judge word vectors: every form they go round in is read alike, and a bad line is named."""

import pytest

from stemma.errors import DataError
from stemma.evaluation.measures.word_files import Question, read_analogies, read_group, read_pairs

TWO = [("tiger", "cat", 7.35), ("老虎", "猫", 6.5)]
PAIRS = {
    "ours": "word1\tword2\tscore\ntiger\tcat\t7.35\n老虎\t猫\t6.5\n",
    "combined.csv": "Word 1,Word 2,Human (mean)\r\ntiger,cat,7.35\r\n老虎,猫,6.5\r\n",
    "set1.csv": '"Word 1","Word 2","Human (Mean)","1","2"\n"tiger","cat","7.35","9","7"\n"老虎","猫","6.5","5","8"\n',
    "combined.tab": "Word 1\tWord 2\tHuman (mean)\ntiger\tcat\t7.35\n老虎\t猫\t6.5\n",
    "gensim": "# The collection\n# Word 1\tWord 2\tHuman (mean)\ntiger\tcat\t7.35\n老虎\t猫\t6.5\n",
    "SimLex-999": "word1\tword2\tPOS\tSimLex999\tconc(w1)\ntiger\tcat\tN\t7.35\t2.72\n老虎\t猫\tN\t6.5\t2.81\n",
    "MEN": "tiger cat 7.350000\n老虎 猫 6.500000\n",
    "RG-65": "tiger;cat;7.35\n老虎;猫;6.5\n\n",
    "SimVerb": "tiger\tcat\tV\t7.35\tSYNONYMS\n老虎\t猫\tV\t6.5\tNONE\n",
}
TWO_SECTIONS = [Question("family", "boy", "girl", "man", "woman"), Question("城市", "中国", "北京", "日本", "东京")]
ANALOGIES = {
    "ours": "section\ta\tb\tc\td\nfamily\tboy\tgirl\tman\twoman\n城市\t中国\t北京\t日本\t东京\n",
    "questions-words.txt": ": family\nboy girl man woman\n: 城市\n中国 北京 日本 东京\n",
    "CA8": ":family\nboy\tgirl\tman\twoman\n\n: 城市\n中国\t北京\t日本\t东京\n",
    "without a header": "family\tboy\tgirl\tman\twoman\n城市\t中国\t北京\t日本\t东京\n",
}


def written(folder, text, name="file.txt"):
    path = folder / name
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    return path


@pytest.mark.parametrize("text", PAIRS.values(), ids=PAIRS)
def test_pairs_are_read_in_every_form(tmp_path, text):
    assert read_pairs(written(tmp_path, text)) == TWO


@pytest.mark.parametrize("text", ANALOGIES.values(), ids=ANALOGIES)
def test_analogies_are_read_in_every_form(tmp_path, text):
    assert read_analogies(written(tmp_path, text)) == TWO_SECTIONS


def test_questions_before_the_first_section_take_the_files_name(tmp_path):
    for text in ("a b c d\nboy girl man woman\n", "boy girl man woman\n"):
        assert read_analogies(written(tmp_path, text, "family.txt")) == TWO_SECTIONS[:1]


def test_a_group_is_two_blocks(tmp_path):
    group = read_group(written(tmp_path, "cat\ndog\n猫\n\n\ncar\n车\n\n", "pets.txt"))
    assert (group.name, group.words, group.odd) == ("pets", ("cat", "dog", "猫"), ("car", "车"))


def test_real_files_are_read_whole(shared_data):
    english, chinese = shared_data / "words-en", shared_data / "words-zh"
    pairs = {english / "wordsim353.tsv": 353, english / "simlex999.tsv": 999, english / "men3000.tsv": 3000}
    pairs |= {chinese / "wordsim240.tsv": 240, chinese / "wordsim297.tsv": 297}
    assert {path: len(read_pairs(path)) for path in pairs} == pairs
    expected = {english / "analogy-google.tsv": (19544, 14), chinese / "analogy-ca8-semantic.tsv": (7636, 4)}
    expected |= {chinese / "analogy-ca8-morphological.tsv": (10177, 4)}
    for path, (count, sections) in expected.items():
        questions = read_analogies(path)
        assert (len(questions), len({q.section for q in questions})) == (count, sections)


@pytest.mark.parametrize(
    ("read", "text", "mend"),
    [
        (read_pairs, "word1\tword2\tscore\n男\t女\t8\nking\tqueen\thigh\n", r"line 3: score 'high'.*column 3.*mend the line"),
        (read_pairs, "king\tqueen\t8\nsea\tship\t5\nman\twoman\n", r"line 3: 2 columns.*separate them with tabs"),
        (read_pairs, "king\t\t8\n", r"line 1: a word is missing"),
        (read_pairs, "word1\tword2\tscore\nking queen\n", r"line 2: no number after two words.*score behind the words"),
        (read_pairs, "king\tqueen\tnan\n", r"line 1: no number"),
        (read_pairs, "# nothing\n", r"no pair of words"),
        (read_pairs, "", r"is empty.*check the file"),
        (read_analogies, ": family\nboy girl man\n", r"line 2: 3 words.*mend the line"),
        (read_analogies, ": family\n", r"no question"),
        (read_analogies, "section\ta\tb\tc\td\n", r"no question"),
        (read_group, "cat\ndog\ncar\n", r"1 block of words, 3 in the first.*a file of its own"),
        (read_group, "cat\n\ncar\n\nbus\n", r"3 blocks of words"),
    ],
)
def test_a_bad_file_is_reported_with_its_line(tmp_path, read, text, mend):
    with pytest.raises(DataError, match=mend):
        read(written(tmp_path, text))


def test_a_file_that_is_no_text_or_no_file_is_reported(tmp_path):
    (tmp_path / "gbk.txt").write_bytes("老虎\t猫\t6.5\n".encode("gbk"))
    with pytest.raises(DataError, match=r"line 1: byte 0x"):
        read_pairs(tmp_path / "gbk.txt")
    with pytest.raises(DataError, match="check the path"):
        read_pairs(tmp_path / "none.txt")

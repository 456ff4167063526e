"""The words in which people judge answers, and how columns of verdicts are called, in several languages."""

PLAIN_GOOD = frozenset({
    "1", "evet", "ja", "oui", "si", "sim", "sí", "t", "tak", "true", "verdadeiro", "verdadero", "vero", "vrai",
    "on", "wahr", "y", "yes", "да", "はい", "对", "是",
})  # fmt: skip
"""Yes, true: they judge under a name that asks."""
PLAIN_BAD = frozenset({
    "0", "f", "off", "falsch", "false", "falso", "faux", "n", "nao", "nein", "nie", "no", "non", "não", "нет", "いいえ",
    "不", "否",
})  # fmt: skip
GOOD = frozenset({
    "+", "+1", "accept", "accepted", "approve", "approved", "best", "better", "bien", "boa", "bom", "bon", "bonne",
    "buena", "bueno", "buono", "chosen", "correct", "correcta", "correcte", "correcto", "correto", "corretto",
    "desirable", "desired", "dobry", "excellent", "goed", "good", "great", "gut", "helpful", "keep", "korrekt",
    "like", "liked", "pass", "passed", "pos", "positive", "preferred", "richtig", "right", "satisfied",
    "thumb up", "thumbs up", "thumbsup", "up", "upvote", "upvoted", "win", "winner", "winning", "верно",
    "правильно", "хороший", "хорошо", "☑", "✅", "✓", "✔", "❤", "⬆", "⭕", "好", "正しい", "正确", "良い", "👍",
    "agree", "ok", "okay", "safe", "💯", "🔼", "😀", "😃", "😊", "🙂", "🟢",
})  # fmt: skip
"""Words and signs for a good answer."""
BAD = frozenset({
    "-", "-1", "bad", "cattivo", "declined", "disapproved", "discard", "dislike", "disliked", "dispreferred",
    "dissatisfied", "down", "downvote", "downvoted", "fail", "failed", "incorrect", "incorrecta", "incorrecte",
    "incorrecto", "incorreto", "inkorrekt", "lose", "loser", "losing", "mal", "mala", "malo", "mau", "mauvais",
    "mauvaise", "neg", "negative", "not good", "not helpful", "not ok", "poor", "reject", "rejected", "ruim",
    "sbagliato", "schlecht", "slecht", "terrible", "thumb down", "thumbs down", "thumbsdown", "undesirable",
    "undesired", "unhelpful", "worse", "worst", "wrong", "zły", "неверно", "неправильно", "плохо", "плохой", "☹",
    "✖", "✗", "✘", "❌", "⬇", "坏", "差", "悪い", "错误", "間違い", "👎", "💔", "🔴", "🔽", "😞", "😠", "😡",
    "denied", "disagree", "disapprove", "loss", "nok", "unsafe", "🙁",
})  # fmt: skip
TELLING = (GOOD | BAD) - {
    "positive", "pos", "negative", "neg", "up", "down", "right", "+", "-", "win", "keep", "mal", "mala", "bien", "best",
    "great", "poor", "ok", "okay", "safe", "unsafe", "agree", "disagree", "loss", "🟢", "🔴",
}  # fmt: skip
"""Words that judge whatever their column is called; of the others some name a sentiment or a state."""
NAMES = frozenset({
    "accept", "acceptable", "accepted", "annotation", "approval", "approved", "avaliacao", "avaliação", "beoordeling",
    "bewertung", "bon", "bonne", "bueno", "calificacion", "calificación", "chosen", "correct", "correcte",
    "correctness", "correcto", "correto", "desirable", "etichetta", "etiqueta", "etiquette", "eval",
    "evaluation", "feedback", "giudizio", "gold", "good", "grade", "gut", "helpful", "helpfulness", "judge",
    "judgement", "judgements", "judgment", "korrekt", "kto label", "kto tag", "label", "labels", "like", "liked",
    "nota", "note", "ocena", "overall", "pass", "passed", "points", "preference", "preferred", "punkte",
    "punteggio", "puntuacion", "puntuación", "quality", "rate", "rated", "rating", "ratings", "reaction",
    "reward", "rewards", "richtig", "right", "satisfaction", "satisfied", "score", "scores", "selected", "star",
    "stars", "sterne", "tag good", "thumb", "thumb up", "thumbs", "thumbs up", "upvoted", "upvotes", "urteil",
    "safe", "truthful", "factual", "faithful", "grounded", "harmless", "relevant", "hilfreich", "útil",
    "utile", "полезно",
        "valid", "valoracion", "valoración", "valutazione", "verdict", "vote", "votes", "voto", "wertung", "winner",
    "won", "étiquette", "évaluation", "метка", "оценка", "рейтинг", "ラベル", "分数", "好评", "得分", "是否正确",
    "标签", "正解", "評価", "评价", "评分", "评级",
})  # fmt: skip
"""Columns that judge."""
AGAINST = frozenset({
    "abusive", "bad", "declined", "disliked", "dispreferred", "downvoted", "falsch", "incorrect", "malo", "mauvais",
    "flagged", "hallucinated", "hallucination", "inappropriate",
    "toxic", "toxicity", "harmful", "unsafe", "offensive", "refused", "refusal",
    "rejected", "ruim", "schlecht", "thumb down", "thumbs down", "undesirable", "unhelpful", "wrong", "плохо",
})  # fmt: skip
"""Columns in which true means a bad answer."""
SCALES = frozenset({
    "correctness", "grade", "helpfulness", "nota", "note", "overall", "points", "punkte", "quality", "rate",
    "rating", "ratings", "score", "scores", "star", "stars", "sterne",
})  # fmt: skip
"""Columns of numbers, in which 1 alone is more likely the lowest than the highest."""
VAGUE = frozenset({
    "bon", "eval", "gold", "like", "nota", "note", "points", "rate", "right", "selected", "valid",
})  # fmt: skip
"""Columns that judge only where numbers or verdicts stand under their name."""

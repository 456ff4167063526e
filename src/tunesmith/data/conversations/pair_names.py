"""What people call the two sides of a question and its answer, and of two texts, in several languages."""

QUERIES = (
    ("query", "response"), ("prompt", "response"), ("question", "response"), ("question", "answer"),
    ("query", "answer"), ("prompt", "answer"), ("prompt", "output"), ("user", "assistant"), ("human", "assistant"),
    ("human", "gpt"), ("human", "bot"), ("user", "bot"), ("user", "ai"), ("user_message", "assistant_message"),
    ("user_message", "assistant_response"),
    ("frage", "antwort"), ("pregunta", "respuesta"), ("pergunta", "resposta"), ("domanda", "risposta"),
    ("question", "réponse"), ("question", "reponse"), ("vraag", "antwoord"), ("fråga", "svar"),
    ("spørgsmål", "svar"), ("spørsmål", "svar"), ("kysymys", "vastaus"), ("pytanie", "odpowiedź"),
    ("pytanie", "odpowiedz"), ("otázka", "odpověď"), ("otázka", "odpoveď"), ("kérdés", "válasz"),
    ("întrebare", "răspuns"), ("pitanje", "odgovor"), ("soru", "cevap"), ("soru", "yan\u0131t"), ("вопрос", "ответ"),
    ("питання", "відповідь"), ("запитання", "відповідь"), ("въпрос", "отговор"), ("ερώτηση", "απάντηση"),
    ("שאלה", "תשובה"), ("سؤال", "جواب"), ("السؤال", "الجواب"), ("سؤال", "إجابة"), ("السؤال", "الإجابة"),
    ("پرسش", "پاسخ"), ("प्रश्न", "उत्तर"), ("คำถาม", "คำตอบ"), ("câu hỏi", "câu trả lời"), ("hỏi", "đáp"),
    ("pertanyaan", "jawaban"), ("soalan", "jawapan"), ("質問", "回答"), ("質問", "答え"), ("問題", "回答"),
    ("问题", "答案"), ("问题", "回答"), ("問題", "答案"), ("提问", "回答"), ("问", "答"), ("질문", "답변"),
    ("질문", "대답"), ("질문", "답"), ("q", "a"),
)  # fmt: skip
"""Questions and answers."""
INSTRUCTIONS = (
    ("instruction", "input", "output"), ("instruction", "input", "response"), ("instruction", "context", "output"),
    ("instruction", "context", "response"), ("instruction", None, "output"), ("instruction", None, "response"),
    ("instruction", None, "answer"), ("instruction", None, "completion"),
    ("anweisung", "eingabe", "ausgabe"), ("anweisung", None, "ausgabe"), ("anweisung", None, "antwort"),
    ("instrucción", "entrada", "salida"), ("instruccion", "entrada", "salida"), ("instrucción", None, "respuesta"),
    ("instrução", "entrada", "saída"), ("instrução", None, "resposta"), ("instruction", "entrée", "sortie"),
    ("istruzione", "input", "output"), ("instrukcja", "wejście", "wyjście"), ("инструкция", "ввод", "вывод"),
    ("инструкция", None, "ответ"), ("指令", "输入", "输出"), ("指令", None, "输出"), ("指示", "入力", "出力"),
    ("指示", None, "出力"), ("지시", "입력", "출력"),
)  # fmt: skip
"""An instruction, what it is about (where there is such a column), and the answer."""
WEAK_PAIRS = (
    ("source", "target"), ("text", "summary"), ("input", "output"), ("question", "answer"), ("eingabe", "ausgabe"),
    ("quelltext", "zieltext"), ("original", "übersetzung"), ("text", "zusammenfassung"), ("entrada", "salida"),
    ("entrada", "saída"), ("texto", "resumen"), ("texto", "resumo"), ("entrée", "sortie"), ("texte", "résumé"),
    ("ввод", "вывод"), ("оригинал", "перевод"), ("текст", "перевод"), ("输入", "输出"), ("原文", "译文"),
    ("原文", "翻訳"), ("入力", "出力"), ("입력", "출력"),
)  # fmt: skip
"""Pairs of texts whose names also stand in tables to classify."""
LABELS = frozenset({
    "kategorie", "klasse", "thema", "etikett", "absicht", "catégorie", "categorie", "classe", "étiquette", "sujet",
    "categoría", "categoria", "clase", "etiqueta", "tema", "intención", "etichetta", "argomento", "onderwerp",
    "kategori", "kategoria", "etykieta", "категория", "категорія", "класс", "метка", "тема", "类别", "类型", "标签",
    "意图", "分類", "カテゴリ", "カテゴリー", "ラベル", "카테고리", "라벨", "분류", "التصنيف", "تصنيف",
})  # fmt: skip
"""Columns to classify."""

STRONG_PAIRS = (
    ("src", "tgt"), ("document", "summary"), ("article", "highlights"), ("article", "summary"),
    ("dialogue", "summary"), ("input_text", "target_text"),
)  # fmt: skip
"""Pairs whose names say it all."""

_OTHERS = (
    "messages", "conversations", "conversation", "contents", "prompt", "completion", "chosen", "rejected",
    "instruction", "translation",
)  # fmt: skip
_ALL = (_OTHERS, *STRONG_PAIRS, *WEAK_PAIRS, *QUERIES, *INSTRUCTIONS)
COLUMNS = tuple(sorted({name for names in _ALL for name in names if name}))
"""Names that prove a header of a CSV file."""

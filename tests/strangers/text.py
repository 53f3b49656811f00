"""Text: classifiers, language models, translation."""

import keras
import numpy as np
from keras import layers, ops

from .program import Script, program


def _tokens(count=40, length=10, words=30):
    rng = np.random.default_rng(0)
    x = rng.integers(1, words, (count, length))
    x[:, 7:] *= rng.integers(0, 2, (count, 3))
    return x, rng.integers(0, 2, count)


@program("text", "Keras example nlp/bidirectional_lstm_imdb")
def bidirectional_lstm_with_none_length():
    x, y = _tokens()
    inputs = keras.Input(shape=(None,), dtype="int32")
    h = layers.Embedding(30, 8)(inputs)
    h = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(h)
    h = layers.Bidirectional(layers.LSTM(6))(h)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(h))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return Script(model, dict(x=x, y=y, batch_size=16, epochs=2))


@program("text", "Keras example nlp/pretrained_word_embeddings: frozen Embedding")
def frozen_embeddings_and_conv1d():
    x, y = _tokens()
    table = np.random.default_rng(1).normal(size=(30, 8))
    embedding = layers.Embedding(30, 8, trainable=False)
    embedding.build((1,))
    embedding.set_weights([table])
    tokens = keras.Input(shape=(None,), dtype="int32")
    h = embedding(tokens)
    h = layers.Conv1D(8, 3, activation="relu")(h)
    h = layers.GlobalMaxPooling1D()(h)
    h = layers.Dropout(0.5)(h)
    model = keras.Model(tokens, layers.Dense(2, activation="softmax")(h))
    model.compile(
        loss="sparse_categorical_crossentropy", optimizer="rmsprop", metrics=["acc"]
    )
    return Script(model, dict(x=x, y=y, epochs=2))


@program("text", "Deep Learning with Python: Embedding with mask, GRU, no Input")
def masked_gru_without_input():
    x, y = _tokens()
    model = keras.Sequential(
        [
            layers.Embedding(30, 8, mask_zero=True),
            layers.GRU(8, dropout=0.2, recurrent_dropout=0.2),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy")
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=16))


@program("text", "Keras example nlp/text_classification_with_transformer")
def transformer_block_as_a_layer():
    class TransformerBlock(layers.Layer):
        def __init__(self, width, heads, inner, rate=0.1):
            super().__init__()
            self.attention = layers.MultiHeadAttention(heads, width)
            self.ffn = keras.Sequential(
                [layers.Dense(inner, activation="relu"), layers.Dense(width)]
            )
            self.norm1 = layers.LayerNormalization(epsilon=1e-6)
            self.norm2 = layers.LayerNormalization(epsilon=1e-6)
            self.drop1 = layers.Dropout(rate)
            self.drop2 = layers.Dropout(rate)

        def call(self, inputs):
            h = self.drop1(self.attention(inputs, inputs))
            out = self.norm1(inputs + h)
            return self.norm2(out + self.drop2(self.ffn(out)))

    class TokenAndPosition(layers.Layer):
        def __init__(self, length, words, width):
            super().__init__()
            self.token = layers.Embedding(words, width)
            self.position = layers.Embedding(length, width)

        def call(self, x):
            return self.token(x) + self.position(ops.arange(0, x.shape[-1]))

    x, y = _tokens()
    inputs = layers.Input(shape=(10,))
    h = TokenAndPosition(10, 30, 8)(inputs)
    h = TransformerBlock(8, 2, 16)(h)
    h = layers.GlobalAveragePooling1D()(h)
    h = layers.Dropout(0.1)(h)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(h))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Script(
        model,
        dict(x=x, y=y, batch_size=16, epochs=2),
        loads=False,
    )


@program("text", "Keras example generative/text_generation_with_miniature_gpt")
def causal_language_model():
    class Positions(layers.Layer):
        def build(self, input_shape):
            self.table = self.add_weight(shape=input_shape[1:], name="positions")

        def call(self, h):
            return h + self.table

    x, _ = _tokens()
    tokens = keras.Input((9,), dtype="int32")
    h = Positions()(layers.Embedding(30, 16)(tokens))
    h = h + layers.MultiHeadAttention(2, 8)(h, h, use_causal_mask=True)
    h = layers.LayerNormalization()(h)
    logits = layers.Dense(30)(h)
    model = keras.Model(tokens, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile("adam", loss=loss)
    return Script(
        model,
        dict(x=x[:, :-1], y=x[:, 1:], epochs=2, batch_size=12),
        custom_objects={"Positions": Positions},
    )


@program("text", "Keras example nlp/lstm_seq2seq: two inputs, states between LSTMs")
def encoder_and_decoder_of_characters():
    rng = np.random.default_rng(0)
    source = np.eye(7, dtype="float32")[rng.integers(0, 7, (24, 6))]
    target = np.eye(5, dtype="float32")[rng.integers(0, 5, (24, 4))]
    encoder_inputs = keras.Input(shape=(None, 7))
    _, state_h, state_c = layers.LSTM(8, return_state=True)(encoder_inputs)
    decoder_inputs = keras.Input(shape=(None, 5))
    decoder = layers.LSTM(8, return_sequences=True, return_state=True)
    h, _, _ = decoder(decoder_inputs, initial_state=[state_h, state_c])
    outputs = layers.Dense(5, activation="softmax")(h)
    model = keras.Model([encoder_inputs, decoder_inputs], outputs)
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    return Script(
        model,
        dict(
            x=[source, target[:, :-1]],
            y=target[:, 1:],
            batch_size=10,
            epochs=2,
            validation_split=0.2,
        ),
    )


@program("text", "Keras example nlp/addition_rnn: RepeatVector, logits per character")
def characters_through_repeat_vector():
    rng = np.random.default_rng(0)
    x = np.eye(6, dtype=bool)[rng.integers(0, 6, (30, 5))]
    y = np.eye(6, dtype=bool)[rng.integers(0, 6, (30, 3))]
    model = keras.Sequential()
    model.add(layers.Input((5, 6)))
    model.add(layers.LSTM(8))
    model.add(layers.RepeatVector(3))
    for _ in range(2):
        model.add(layers.LSTM(8, return_sequences=True))
    model.add(layers.Dense(6, activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="adam")
    return Script(model, dict(x=x, y=y, batch_size=8, epochs=2))


@program(
    "text", "TensorFlow tutorial text_classification: TextVectorization in tf.data"
)
def strings_vectorized_in_the_pipeline():
    import tensorflow as tf

    words = ["good", "bad", "film", "plot", "very", "dull", "fine", "cast"]
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(words, 6)) for _ in range(32)]
    labels = rng.integers(0, 2, 32)
    vectorize = layers.TextVectorization(max_tokens=20, output_sequence_length=8)
    vectorize.adapt(lines)
    data = tf.data.Dataset.from_tensor_slices((lines, labels)).batch(10)
    data = data.map(lambda text, label: (vectorize(text), label))
    model = keras.Sequential(
        [
            layers.Embedding(20, 8),
            layers.Dropout(0.2),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        loss=keras.losses.BinaryCrossentropy(),
        optimizer="adam",
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.5)],
    )
    return Script(model, dict(x=data, epochs=2))


@program("text", "TensorFlow tutorial text: strings into the model", ("tensorflow",))
def strings_into_the_model():
    rng = np.random.default_rng(0)
    words = ["good", "bad", "film", "plot", "very", "dull", "fine", "cast"]
    lines = np.array([" ".join(rng.choice(words, 6)) for _ in range(32)])
    vectorize = layers.TextVectorization(max_tokens=20, output_sequence_length=8)
    vectorize.adapt(lines)
    inputs = keras.Input(shape=(1,), dtype="string")
    h = vectorize(inputs)
    h = layers.Embedding(20, 8, mask_zero=True)(h)
    h = layers.LSTM(6)(h)
    model = keras.Model(inputs, layers.Dense(1)(layers.Dropout(0.2)(h)))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    import tensorflow as tf

    x = tf.constant(lines[:, None])
    y = rng.integers(0, 2, (32, 1)).astype("float32")
    return Script(model, dict(x=x, y=y, epochs=2, batch_size=8))


@program("text", "keras-team/keras issue 12577: generator of padded batches, no length")
def bucketed_batches_from_a_generator():
    rng = np.random.default_rng(0)

    def batches():
        while True:
            length = int(rng.integers(4, 9))
            yield rng.integers(0, 20, (6, length)), rng.integers(0, 3, 6)

    model = keras.Sequential(
        [
            layers.Embedding(20, 6),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    sample = rng.integers(0, 20, (6, 5))
    return Script(model, dict(x=batches(), steps_per_epoch=4, epochs=2), sample=sample)


@program("text", "Keras example nlp/multi_label_classification")
def tags_of_abstracts():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (36, 25)).astype("float32")
    y = rng.integers(0, 2, (36, 5)).astype("float32")
    model = keras.Sequential(
        [
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(5, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["binary_accuracy"])
    return Script(model, dict(x=x, y=y, epochs=2))

"""Which value of a metric is the better one, by the names that the field gives its metrics."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum


class Direction(StrEnum):
    """Which value of a metric is the better one; `neutral`: neither."""

    HIGHER = "higher"
    LOWER = "lower"
    NEUTRAL = "neutral"


def direction_by_name(name: str) -> Direction:
    """Which value is the better one of a metric that the settings don't name; `neutral` where it is not plain.

    What ends with `loss` or `error` is one. Else the longest name in the tables below that the metric's name contains
    decides: `nll` beside `likelihood`, say. Where lower is better, higher is for what scikit-learn calls `neg_...`.

    Args:
        name: name of the metric, e.g. `val_loss`, `test/f1-macro`, `mAP50`, `pass@1`.
    """
    spellings = {_words(name), _words(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name))}
    direction = _by_words(spellings)
    is_negated = direction is Direction.LOWER and any("neg" in words for words in spellings)
    is_in_table = any(_contains(words, ("neg", "log", "likelihood")) for words in spellings)
    return Direction.HIGHER if is_negated and not is_in_table else direction


def _by_words(spellings: set[tuple[str, ...]]) -> Direction:
    if any(words and words[-1] in _ENDS_OF_LOWER for words in spellings):
        return Direction.LOWER
    found = [
        (len(term), direction)
        for term, direction in _DIRECTIONS.items()
        if any(_contains(spelling, term) for spelling in spellings)
    ]
    longest = max((length for length, _ in found), default=0)
    (direction, *others) = {direction for length, direction in found if length == longest} or {Direction.NEUTRAL}
    return Direction.NEUTRAL if others else direction


def _words(name: str) -> tuple[str, ...]:
    # R² is written so, too.
    plain = unicodedata.normalize("NFKC", name).lower()
    return tuple(re.findall(r"[a-z]+|\d+", plain.replace("@", " at ")))


def _contains(words: tuple[str, ...], term: tuple[str, ...]) -> bool:
    return any(words[at : at + len(term)] == term for at in range(len(words) - len(term) + 1))


_ENDS_OF_LOWER = {"loss", "error", "err"}
_HIGHER = """
    accuracy, acc, top1, top5, auc, auroc, auprc, aupr, aucpr, roc auc, rocauc, pr auc, gini
    precision, recall, sensitivity, specificity
    f1, f2, f 0 5, f beta, fbeta, f score, fscore, f measure, true positive rate, tpr, tnr, true negative rate
    kappa, mcc, matthews, concordance index, c index
    iou, miou, jaccard, dice, map, ap, average precision, pq, panoptic quality, pck, oks, mota, hota, idf1
    ndcg, dcg, mrr, reciprocal rank, hit rate, hits at, hit at, hr at
    r2, r squared, explained variance, pearson, pearsonr, spearman, spearmanr, kendall, kendalltau, correlation
    silhouette, calinski harabasz, rand index, rand score, ari, nmi, mutual info, v measure
    bleu, sacrebleu, rouge, meteor, chrf, cider, spice, bertscore, bleurt, comet, mauve, exact match, em, pass at
    win rate, faithfulness, groundedness, answer relevancy, answer relevance
    psnr, ssim, ms ssim, vmaf, inception score, clip score, pesq, stoi, mos, sdr, sisdr, si sdr, snr
    likelihood, log likelihood, elbo, reward, episode return, mean return, success rate
    throughput, tokens per second, samples per second, images per second, steps per second
    tokens per sec, samples per sec, images per sec, tokens per s, samples per s, tokens s, samples s, images s, it s
"""
_LOWER = """
    loss, logloss, log loss, error, err, error rate, mse, rmse, nrmse, mae, mape, smape, wape, mase, msle, rmsle, medae
    mean squared error, mean absolute error, deviance, crps, pinball, quantile loss, regret, davies bouldin
    perplexity, ppl, nll, negative log likelihood, neg log likelihood, cross entropy, crossentropy
    bpc, bpb, bpd, bits per byte, bits per character, bits per char
    wer, cer, ter, mer, aer, der, eer, word error rate, character error rate
    false positive rate, false negative rate, fpr, fnr, false alarm rate, miss rate
    brier, ece, calibration error, kl, kl divergence, divergence
    fid, kid, fvd, lpips, niqe, brisque, hausdorff, hd95, assd, chamfer, epe, mpjpe, ade, fde, id switches
    latency, inference time, time to first token, ttft, ms per token, toxicity, hallucination, hallucination rate
"""


def _terms(table: str) -> list[tuple[str, ...]]:
    return [_words(term) for term in re.split(r"[,\n]", table) if term.strip()]


_DIRECTIONS = dict.fromkeys(_terms(_HIGHER), Direction.HIGHER) | dict.fromkeys(_terms(_LOWER), Direction.LOWER)

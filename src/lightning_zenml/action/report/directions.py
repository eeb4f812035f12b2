"""Which value of a metric is the better one, by the names that the field gives its metrics."""

from __future__ import annotations

import re
from enum import StrEnum


class Direction(StrEnum):
    """Which value of a metric is the better one; `neutral`: neither."""

    HIGHER = "higher"
    LOWER = "lower"
    NEUTRAL = "neutral"


def direction_by_name(name: str) -> Direction:
    """Which value is the better one of a metric that the settings don't name; `neutral` where it is not plain.

    The longest name in the tables below that the metric's name contains decides: `nll` beside `likelihood`, say.

    Args:
        name: name of the metric, e.g. `val_loss`, `test/f1-macro`, `mAP50`, `pass@1`.
    """
    spellings = {_words(name), _words(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name))}
    found = [
        (len(term), direction)
        for term, direction in _DIRECTIONS.items()
        if any(_contains(spelling, term) for spelling in spellings)
    ]
    longest = max((length for length, _ in found), default=0)
    (direction, *others) = {direction for length, direction in found if length == longest} or {Direction.NEUTRAL}
    return Direction.NEUTRAL if others else direction


def _words(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[a-z]+|\d+", name.lower().replace("@", " at ")))


def _contains(words: tuple[str, ...], term: tuple[str, ...]) -> bool:
    return any(words[at : at + len(term)] == term for at in range(len(words) - len(term) + 1))


_HIGHER = """
    accuracy, acc, top1, top5, auc, auroc, auprc, roc auc, pr auc, precision, recall, sensitivity, specificity
    f1, f2, f beta, fbeta, f score, fscore, f measure, true positive rate, tpr, tnr, true negative rate, kappa, mcc
    iou, miou, jaccard, dice, map, ap, average precision, pq, panoptic quality
    ndcg, dcg, mrr, reciprocal rank, hit rate, hits at, hit at
    r2, r squared, explained variance, pearson, spearman, kendall, correlation, silhouette
    bleu, sacrebleu, rouge, meteor, chrf, cider, spice, bertscore, bleurt, comet, exact match, pass at, win rate
    psnr, ssim, ms ssim, vmaf, inception score, clip score, pesq, stoi, sdr, sisdr, si sdr, snr
    likelihood, log likelihood, elbo, reward, success rate
    throughput, tokens per second, samples per second, images per second, tokens per sec, samples per sec
"""
_LOWER = """
    loss, logloss, log loss, error, err, error rate, mse, rmse, mae, mape, smape, wape, mase, msle, rmsle, medae
    mean squared error, mean absolute error, deviance, crps, pinball, quantile loss
    perplexity, ppl, nll, negative log likelihood, cross entropy, bpc, bpb, bpd, bits per byte, bits per character
    wer, cer, ter, mer, aer, der, eer, word error rate, character error rate
    false positive rate, false negative rate, fpr, fnr, false alarm rate, miss rate
    brier, ece, calibration error, kl, kl divergence, divergence
    fid, kid, fvd, lpips, hausdorff, hd95, assd, chamfer, epe, mpjpe
    latency, toxicity, hallucination rate
"""


def _terms(table: str) -> list[tuple[str, ...]]:
    return [_words(term) for term in re.split(r"[,\n]", table) if term.strip()]


_DIRECTIONS = dict.fromkeys(_terms(_HIGHER), Direction.HIGHER) | dict.fromkeys(_terms(_LOWER), Direction.LOWER)

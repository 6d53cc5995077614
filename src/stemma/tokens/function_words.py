"""Words that hold sentences together and tell nothing of their subject, English and Chinese: a word map leaves them out, and so
does the making of new examples for a student (`transfer.augment`).
"""

from stemma.tokens.scripts import is_han

_ENGLISH = """
a able about above across after again against ago all almost along already also although always am among an and another any anything are
around as ask asked at away back be became because become been before began behind being below beneath beside between beyond both but by
call called came can cannot come coming could did do does doing done down during each either else enough etc even ever every everything
example far few first following for from gave get give given go goes going gone got great had half hardly has have having he hence her
here hers herself him himself his how however i if in indeed instead into is it its itself just keep kept know known last least less let
like little long look looked made make many may me mean might mine more most much must my myself near nearly neither never nevertheless
next no none nor not nothing now of off often on once one ones only or other others ought our ours ourselves out over own part per
perhaps put quite rather really round said same saw say says see seem seemed seen several shall she should since so some something
sometimes soon still such take taken tell than that the thee their theirs them themselves then there therefore these they thing things
think this those thou though thought three through thus thy till to together told too took toward towards two under unless until up upon
us use used using very via want was way we well went were what whatever when where whether which while who whole whom whose why will
with within without would yes yet you your yours yourself
"""
_CHINESE = """
一下 一个 一些 一切 一天 一定 一旦 一样 一次 一点 一直 一种 一般 一起 一边 一面 万一 上去 上来 上述 下去 下来
下面 不仅 不会 不但 不再 不可 不同 不如 不得 不必 不敢 不断 不是 不能 不要 不论 不过 与其 两个 个人 为了 为什么
为此 主要 之一 之下 之中 之前 之后 之所以 之间 也是 也许 了解 于是 云云 什么 什么样 仅仅 今天 仍然 从而 他们
以上 以下 以为 以便 以免 以前 以及 以后 以来 以此 任何 似乎 但是 何况 何必 作为 你们 使得 使用 例如 依照 便是
倘若 借以 假如 假若 像是 全部 关于 其中 其他 其它 其实 其次 具体 再次 再说 几个 几乎 出去 出来 出现 分别 别人
别的 到底 前者 前面 加上 却是 原来 又是 及其 反之 只是 只有 只能 只要 可以 可是 可能 各个 各种 各自 同时 同样
后来 后者 向着 否则 听说 哪个 哪些 哪怕 哪里 唯有 回去 回来 因为 因此 因而 在于 大家 大约 她们 好像 好的 如下
如何 如果 如此 宁可 它们 它的 完全 对于 对方 将会 将要 尚且 尤其 就是 就要 尽管 左右 已经 常常 并不 并且 并非
应当 应该 开始 当时 当然 很多 得到 怎么 怎么样 怎样 总之 总是 我们 我的 或是 或者 所以 所有 所谓 才是 才能 打算
按照 据说 接着 故而 整个 无法 无论 既然 时候 是否 是的 显然 曾经 最后 最好 有些 有人 有关 有时 有时候 有的 本来
来说 极其 果然 某个 某些 根据 正在 正如 此外 此时 每个 每次 比如 比较 没有 然后 然而 照着 特别 现在 甚至 由于
由此 的话 目前 直到 直接 看到 看来 着呢 知道 确实 离开 第一 第二 等等 简直 类似 纵然 结果 继续 罢了 而且 而已
而是 能够 自从 自己 自身 至于 至少 若是 虽然 虽说 表示 要不 要么 要是 觉得 认为 许多 说道 起来 趁着 越来越 过去
过来 还是 还有 这个 这么 这些 这儿 这时 这是 这样 这种 这里 进入 进来 进行 那个 那么 那些 那儿 那时 那样 那种
那里 都是 除了 除非 随后 随着 需要 非常 顺着 顿时 首先
"""
FUNCTION_WORDS = frozenset(f"{_ENGLISH} {_CHINESE}".split())


def is_content(word: str) -> bool:
    """True for a word of letters that may tell of a subject; of Han, two characters or more, since one seldom does by itself.

    >>> [word for word in ("river", "which", "Which", "it", "don't", "1984", "河流", "因为", "河") if is_content(word)]
    ['river', '河流']
    """
    least = 2 if is_han(word[0]) else 3
    return len(word) >= least and word.isalpha() and word.lower() not in FUNCTION_WORDS
